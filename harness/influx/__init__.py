"""Metrics to InfluxDB while load runs, and from a run directory afterwards.

    schema      what is written: every measurement, tag and field, with unit and meaning
    access      where to: INFLUXDB_URL, _TOKEN, _ORG, _BUCKET
    lines       a point as a line of the line protocol
    tally       what happened in each second, from requests in flight and records
    points      the values of every other kind of point
    sink        one process's points: collected each second, in one greenlet
    outbox      encoded lines on their way: bounded, retried, spooled to disk, counted
    transport   one write, by influxdb-client
    replay      all of it again from a run directory: `tokenswarm replay RUN --to-influx`

The rule: load never waits for any of this, and nothing here decides anything about a run. What could not be delivered is
counted and said; the run directory has it all.
"""
