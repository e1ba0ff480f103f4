"""What a server refused for the rate of requests: HTTP 429, and the rests that refusals with Retry-After brought about.

The rule: everything is counted from the table of requests, so that it can be counted again. A user rests as long as it was
told, up to `MOST_REST_S`; those of an open loop, and probes, rest never, for the next ones come when they are due.

Pure; needs pandas, so it is not for a process under load.
"""

from typing import Any

import numpy as np
import pandas as pd

from harness.record import Phase
from harness.rests import MOST_REST_S
from harness.windows import floats

__all__ = ["rate_limited"]


def rate_limited(requests: pd.DataFrame, *, rests: bool) -> dict[str, Any]:
    """`requests` answered with 429, `retry_after_s_total` that refusals of any status asked for, `rests` and `rest_s`.

    Args:
        requests: columns `http_status`, `retry_after_s`, `phase`.
        rests: users rest as they are told: a closed loop, and not `--retry-after no`.
    """
    asked = floats(requests["retry_after_s"])
    told = asked > 0  # nan is not
    probes = (requests["phase"] == Phase.PROBE.value).to_numpy(dtype=bool)
    rested = told & ~probes & rests
    return {
        "requests": int((floats(requests["http_status"]) == 429).sum()),
        "retry_after_s_total": float(asked[told].sum()),
        "rests": int(rested.sum()),
        "rest_s": float(np.minimum(asked[rested], MOST_REST_S).sum()),
    }
