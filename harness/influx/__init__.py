"""Metrics to InfluxDB while load runs, and from a run directory afterwards.

    schema      what is written: every measurement, tag and field, with unit and meaning (fields, schema_runs, schema_workers)
    access      where to: INFLUXDB_URL, _TOKEN, _ORG, _BUCKET
    lines       a point as a line of the line protocol
    points      points from what is stored of a run, live and by replay alike (point, run_points)

    while load runs
    watch       what one process of a run does for InfluxDB, from beginning to end
    part        those who send: seconds (tally), requests, the client's own health
    direction   the run as a whole: what is wanted, percentiles, levels, events, workers, the server
    sink        collects all of these each second, in one greenlet
    outbox      encoded lines on their way: bounded (backlog, spool), retried, counted
    transport   one write, by influxdb-client

    afterwards: `tokenswarm replay RUN --to-influx`
    replay      the command; rereading makes all points again from the run directory (bins: exact seconds, intervals:
                percentiles, course: what was wanted), redelivery sends them

The rule: load never waits for any of this, and nothing here decides anything about a run. What could not be delivered is
counted and said; the run directory has it all.
"""
