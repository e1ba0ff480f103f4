"""What a report is made of: a run directory's files, read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.journal import Window

if TYPE_CHECKING:
    import pandas as pd

    from harness.seconds import Second
    from harness.server_metrics import Sample

__all__ = ["Chart", "Material"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A run: `summary` and `run` are summary.json and run.json, the rest its tables."""

    summary: Mapping[str, Any]
    run: Mapping[str, Any]
    requests: "pd.DataFrame"  # requests.parquet without ids; stamps in Unix ns
    windows: Sequence[Window]
    seconds: "Sequence[Second]" = field(default=())  # client.csv
    samples: "Sequence[Sample]" = field(default=())  # server_metrics.csv

    @property
    def settings(self) -> Mapping[str, Any]:
        """The run's options, as run.json keeps them."""
        settings: Mapping[str, Any] = self.run.get("settings") or {}
        return settings

    @property
    def levels(self) -> Sequence[Mapping[str, Any]]:
        """The levels of summary.json."""
        levels: Sequence[Mapping[str, Any]] = self.summary["levels"]
        return levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure of the page: what it is called, what is to know before it is read, and what plotly draws."""

    key: str  # of the element, unique on the page: letters and dashes
    title: str  # with the unit
    figure: Mapping[str, Any]  # plotly's: `data` and `layout`, JSON values only
    note: str = ""  # one or two sentences under the title
    wide: bool = False  # over the page's whole width
