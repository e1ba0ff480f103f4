"""Every measurement, tag and field that is written to InfluxDB: names, kinds, units and what they mean.

Whoever writes a point takes the field's kind from here, so that a field never changes its type; whoever queries (the
dashboards) may name only what is here. docs/monitoring.md shows these tables, and a test compares.

Every point is one of a kind: measurement, tags and time never meet twice, unless one is meant to take the place of the other
(`rewritten`). So a point may be sent again, by a retry or by `tokenswarm replay`, and is still there once.

Pure.
"""

from collections.abc import Mapping
from typing import Final

from harness.influx.fields import QUANTILES, Field, Measurement
from harness.influx.schema_runs import EVENT, LEVEL, LOAD, PERCENTILES, RUN, SERVER, WORKER
from harness.influx.schema_workers import CLIENT, ERROR, REQUEST, SECOND, WRITER

__all__ = ["MEASUREMENTS", "QUANTILES", "Field", "Measurement"]

MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    one.name: one
    for one in (
        *(RUN, LEVEL, LOAD, SECOND, ERROR, REQUEST, PERCENTILES),
        *(EVENT, SERVER, CLIENT, WORKER, WRITER),
    )
}
