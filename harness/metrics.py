"""summary.json from the requests table: every figure, computed once and only here.

Pure: a DataFrame of requests.parquet, the measuring windows and a few counts in; a plain dict out. Nothing
is read from a clock, a file or an option, so `tokenswarm report` computes the same figures years later.

Three populations, never mixed (docs/metrics.md has every formula):

    totals      every request of the run, any phase, any outcome
    level       requests of the level with phase `measure`; the statistics of times, rates and counts look
                at those of them with outcome `ok`, and each at those where it was measured
    window      whatever arrived inside the level's windows, from any request: the system's rates

Goodput and what follows from service levels are in `harness.judgement`.

`None` where nothing was measured, never 0 and never NaN; `n` says of how many a statistic is. Percentiles
interpolate linearly (numpy's default), std is the sample's (ddof 1).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import doubts, failures, groups, judgement, loadpoint, system_rates
from harness.doubts import Finding
from harness.journal import Window
from harness.record import Phase
from harness.slo import Slos
from harness.spread import RATE_QUANTILES, TIME_QUANTILES, spread
from harness.windows import Streams, floats, ints

__all__ = ["SCHEMA", "Finding", "Window", "levels", "summarise"]

SCHEMA: Final = 1

# And too large to be copied.
_UNUSED: Final = ["chunk_gaps_us", "request_id", "response_id", "name", "session_id"]
_RATES: Final = {
    "request_output_tokens_per_s": "output_tokens_per_s",
    "request_total_tokens_per_s": "total_tokens_per_s",
}
_TIMES: Final = (  # and counts
    "ttft_ms",
    "ttfa_ms",
    "tpot_ms",
    "e2e_ms",
    "server_queue_ms",
    "server_prefill_ms",
    "server_decode_ms",
    "server_ttft_ms",
    "server_e2e_ms",
    "server_tokens_per_s",
    "acceptance_rate",
    "batch_size",
    "dns_ms",
    "connect_ms",
    "tls_ms",
    "prompt_tokens",
    "output_tokens",
)


def summarise(
    requests: pd.DataFrame,
    windows: Sequence[Window],
    *,
    run_id: str,
    planned: int | None = None,
    incomplete: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    client: Mapping[str, Any] | None = None,
    own_ends: bool = False,
    drop_under: int | None = None,
    slos: Slos = (),
    points: Mapping[str, Mapping[str, Any]] | None = None,
    unsent: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The summary of one run.

    Args:
        requests: the columns of `harness.rows.COLUMNS`, stamps in Unix ns.
        windows: one a level and repeat.
        run_id: repeated in the summary.
        planned: requests the load model meant to send in all phases; None if it had no plan.
        incomplete: why results are missing; empty if none are.
        findings: doubts from elsewhere; those seen in the table are added.
        client: what the load generator says of itself, passed through.
        own_ends: the user asked for answers that may end by themselves (`--exact-output no`).
        drop_under: answers of fewer tokens are in no level's statistics of times, rates and counts.
        slos: what the levels are held against.
        points: what each level held (run.json); None: levels of concurrency.
        unsent: arrivals of an open loop that were due and not sent, by level.
    """
    streams, apart = Streams.of(requests), _apart(requests)
    requests = requests.drop(columns=_UNUSED, errors="ignore")
    named = _named(_levels(requests, streams, windows, drop_under or 0), points, unsent)
    entries = judgement.levels(named, requests, windows, slos)
    seen = chain(doubts.of_table(requests, streams, planned), _of_levels(entries, planned, own_ends=own_ends))
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "verdict": doubts.verdict([*findings, *_of_missing(incomplete), *seen]),
        "complete": not incomplete,
        "incomplete": list(incomplete),
        "totals": _totals(requests, planned, sum((unsent or {}).values())),
        "drop_answers_under": drop_under,
        "slo": judgement.run(entries, slos),
        "levels": entries,
        **apart,
        "failures": failures.kinds(requests),
        "client": dict(client or {}),
    }


def _named(
    found: Iterable[dict[str, Any]],
    points: Mapping[str, Mapping[str, Any]] | None,
    unsent: Mapping[str, int] | None,
) -> list[dict[str, Any]]:
    return loadpoint.ordered(loadpoint.entry(one["level"], points, unsent) | one for one in found)


def _of_missing(incomplete: Iterable[str]) -> Iterator[Finding]:
    return (("invalid", f"incomplete: {reason}") for reason in incomplete)


def _of_levels(
    entries: Iterable[Mapping[str, Any]], planned: int | None, *, own_ends: bool
) -> Iterator[Finding]:
    for entry in entries:
        yield from doubts.of_level(entry, timed=planned is None, own_ends=own_ends)


def levels(
    requests: pd.DataFrame, windows: Sequence[Window], slos: Slos, drop_under: int | None
) -> list[dict[str, Any]]:
    """The levels of summary.json, of a part of a run's requests and windows; their load is not named."""
    found = _levels(requests, Streams.of(requests), windows, drop_under or 0)
    return judgement.levels(found, requests, windows, slos)


def _apart(requests: pd.DataFrame) -> dict[str, Any]:
    """The same requests by what they were, not by level."""
    return {
        "names": groups.by_name(requests),
        "turns": groups.by_turn(requests),
        "chats": groups.chats(requests),
    }


def _levels(
    requests: pd.DataFrame, streams: Streams, windows: Sequence[Window], drop_under: int
) -> list[dict[str, Any]]:
    measured = requests["level"][_measured(requests)].dropna().unique()
    levels = sorted({w.level for w in windows} | {int(level) for level in measured})
    return [
        _level(requests, streams, level, [w for w in windows if w.level == level], drop_under)
        for level in levels
    ]


def _totals(requests: pd.DataFrame, planned: int | None, unsent: int) -> dict[str, int | None]:
    outcomes = requests["outcome"].value_counts()
    probes = int((requests["phase"] == Phase.PROBE.value).sum())
    offered = max((planned or 0) + probes, len(requests) + unsent)
    return {
        "offered": offered,
        "succeeded": int(outcomes.get("ok", 0)),
        "failed": int(outcomes.get("failed", 0)),
        "cancelled": int(outcomes.get("cancelled", 0)),
        "unsent": offered - len(requests),
        "probes": probes,
        "prompt_tokens": _total(requests["prompt_tokens"]),
        "output_tokens": _total(requests["output_tokens"]),
    }


def _level(
    requests: pd.DataFrame, streams: Streams, level: int, windows: Sequence[Window], drop_under: int
) -> dict[str, Any]:
    here = _measured(requests) & (ints(requests["level"]) == level)
    counted = streams.output_tokens
    good = here & _is(requests, "ok")
    kept = good & ~(counted < drop_under)  # who was not counted is not short
    succeeded = requests[good]
    ok = succeeded if kept.sum() == good.sum() else requests[kept]
    failed = requests["error_class"][here & _is(requests, "failed")]
    had_text = ok["chunks"] > 0
    seconds = [w.seconds for w in windows]
    return {
        "level": level,
        "repeat_count": len({w.repeat for w in windows} or set(requests["repeat"][here])),
        "requests": int(here.sum()),
        "succeeded": len(succeeded),
        "dropped_short": len(succeeded) - len(ok),
        "failed": len(failed),
        "cancelled": int((here & _is(requests, "cancelled")).sum()),
        "errors": _counts(failed.fillna("unknown")),
        "windows": len(windows),
        "window_s": sum(seconds) if windows else None,
        "window_s_shortest": min(seconds, default=None),
        **system_rates.system(requests, streams, windows),
        "wall_output_tokens_per_s": _wall_rate(ok),
        **{name: spread(floats(ok[column]), RATE_QUANTILES) for name, column in _RATES.items()},
        **{name: spread(floats(ok[name]), TIME_QUANTILES, top=True) for name in _TIMES},
        "chunk_gap_ms": spread(streams.gaps_ms(kept), TIME_QUANTILES, top=True),
        **_from_schedule(ok),
        "first_chunk_counted": int(ok["first_chunk_tokens"].notna().sum()),
        "content_share": doubts.content_share(ok),
        "tokens_per_chunk": _tokens_per_chunk(ok),
        "output_length": doubts.lengths(succeeded, "output_tokens"),
        "prompt_length": doubts.lengths(succeeded, "prompt_tokens"),
        "empty": len(ok) - int(had_text.sum()),
        "zero_counted": int(((ok["output_tokens"] == 0) & (ok["token_source"] == "server") & had_text).sum()),
        "cached_tokens": _total(ok["cached_tokens"]),
        "reconnects": _total(requests["reconnects"][here]),
        "token_sources": _counts(ok["token_source"].dropna()),
    }


def _wall_rate(ok: pd.DataFrame) -> float | None:
    """Completed requests' output tokens over first sent .. last end, each repeat by itself, then together."""
    tokens = floats(ok["output_tokens"])
    seconds = sum(
        (ints(pass_["end_ns"]).max() - ints(pass_["sent_ns"].dropna()).min()) / 1e9
        for _, pass_ in ok.groupby("repeat")
        if pass_["sent_ns"].notna().any()
    )
    known = tokens[~np.isnan(tokens)]
    return float(known.sum() / seconds) if len(known) and seconds > 0 else None


def _from_schedule(ok: pd.DataFrame) -> dict[str, Any]:
    """Send delay, and times from when the request was due: what a user who came on schedule waited."""
    due = ok["scheduled_ns"].astype("Int64")
    delay = floats(ok["sent_ns"].astype("Int64") - due) / 1e6
    first = floats((ok["first_content_ns"].astype("Int64") - due).where(ok["streamed"].astype(bool))) / 1e6
    last = floats(ok["last_content_ns"].astype("Int64") - due) / 1e6
    return {
        "send_delay_ms": spread(delay, TIME_QUANTILES, top=True),
        "ttft_scheduled_ms": spread(first, TIME_QUANTILES, top=True),
        "e2e_scheduled_ms": spread(last, TIME_QUANTILES, top=True),
    }


def _tokens_per_chunk(ok: pd.DataFrame) -> float | None:
    """Mean output tokens a content event of streamed responses: 1 means that chunk gaps are token gaps."""
    tokens, chunks = floats(ok["output_tokens"]), floats(ok["chunks"])
    use = ok["streamed"].to_numpy(dtype=bool) & ~np.isnan(tokens) & (chunks > 0)
    return float(tokens[use].sum() / chunks[use].sum()) if use.any() else None


def _measured(requests: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.asarray((requests["phase"] == "measure").to_numpy(dtype=bool))


def _is(requests: pd.DataFrame, outcome: str) -> npt.NDArray[np.bool_]:
    return np.asarray((requests["outcome"] == outcome).to_numpy(dtype=bool))


def _total(column: "pd.Series[Any]") -> int | None:
    known = column.dropna()
    return int(known.sum()) if len(known) else None


def _counts(words: "pd.Series[Any]") -> dict[str, int]:
    return {str(word): int(number) for word, number in sorted(words.value_counts().items())}
