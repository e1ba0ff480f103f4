"""What the report's words mean: its last section. Formulas, clocks and known biases are in docs/metrics.md."""

from typing import Final

from harness.grid import NULL

__all__ = ["DEFINITIONS"]

DEFINITIONS: Final = (
    ("Window", "per level and pass, from the end of warm-up to the end of arrivals; half open, the same for numerator and denominator"),
    ("System output tokens/s", "output tokens whose chunk arrived inside the window, of every request, finished or not, over the window's length"),
    ("System total tokens/s", "the same, and each request's prompt tokens, counted when its first content arrives"),
    ("Tokens/s per request", "(output tokens - tokens of the first chunk) / (last content - first content): the speed one user reads at"),
    ("Tokens/request", "mean prompt and output tokens of the successful requests, as the server counted them; where it did not, a tokenizer or an estimate"),
    ("Users", "a level counts users: with think time, or users of other kinds beside, fewer requests than that are in flight"),
    ("TTFT", "time to first token: first content event - request sent; content is answer or reasoning text, never an empty or role-only event"),
    ("TPOT", "time per output token: (last content - first content) / (output tokens - tokens of the first chunk)"),
    ("Chunk gap", "time between two content events; a token gap only where tokens per chunk is 1"),
    ("E2E", "end to end: last content - request sent; the end mark comes later and is not in it. An answer that is not streamed comes with its last byte"),
    ("Population", "requests sent inside the window that succeeded; failures are counted beside them; totals are of all phases"),
    ("Offered", "leave to send that a user was given; each ends in one row: succeeded, failed or cancelled. Unaccounted: leaves without a row"),
    ("Percentiles", "exact, from every request, linear interpolation; never averaged over workers or passes. Withheld where there are too few requests to carry them"),
    ("Interval", "95 % confidence interval of the mean over the passes of a level; it holds what differs from pass to pass, and no error that all passes share"),
    (NULL, "not measured, which is not 0"),
    (f"{NULL}*", "measured, and withheld: too few requests for this percentile"),
)  # fmt: skip
