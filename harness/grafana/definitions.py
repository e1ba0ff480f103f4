"""What the numbers of several panels are, in words; and the sums behind the first of them. docs/metrics.md has all of it."""

from typing import Final

__all__ = ["LOOKS", "OK_REQUESTS", "ONE_REQUEST", "OUTPUT", "SKETCHED", "SYSTEM", "TTFT", "WINDOW"]

OUTPUT: Final = 'SUM("output_tokens") + SUM("output_tokens_correction")'
SYSTEM: Final = (
    "Output tokens that arrived in a second, all workers and all requests together (warm-up, failed and "
    "cancelled ones too), mean over the seconds of the interval. Counted on arrival: while a response "
    "streams its tokens are estimated from its reads, and when it ends its seconds are put right with what "
    "the server counted: the curve's end is an estimate, all before it and the area under it are exact. A "
    "response that is not streamed gives all its tokens at its end."
)
SKETCHED: Final = (
    "Over the measured requests of all workers that ended well in each 3 seconds, from merged sketches "
    "(within 1 %), never a mean of workers' percentiles. Zoomed out, one point is the mean of its 3-second "
    "values. Requests that fail are not in it: who fails slow requests looks fast."
)
ONE_REQUEST: Final = (
    "Rate of one request after its first token: (output tokens - 1) / (last content - first content). What "
    "one user reads at: prefill and queueing are not in it."
)
TTFT: Final = (
    "TTFT: first content event - first byte sent. Opening a connection is not in it, one network round "
    "trip is. Streamed responses only."
)
WINDOW: Final = (
    "Over the windows in which the load of the level was whole, all repeats together (docs/metrics.md, One "
    "level, from its windows). While a run goes on from sketches, when it is over exactly as in its "
    "summary.json."
)
OK_REQUESTS: Final = (
    "Over the measured requests of the level that ended well, all workers and repeats together."
)
LOOKS: Final = (
    "The server's figures are looks at its /metrics page, about one a second: a short queue may be missed. "
    "They are of the whole server, other clients included, and enter no other figure."
)
