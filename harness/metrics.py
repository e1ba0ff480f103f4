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
import pandas as pd

from harness import doubts, failures, groups, judgement, loadpoint, passes, system_rates
from harness.doubts import Finding
from harness.journal import Window
from harness.population import RATES, Population, own_times
from harness.record import Phase
from harness.slo import Slos
from harness.spread import RATE_QUANTILES, TIME_QUANTILES, spread
from harness.system_rates import Counted
from harness.windows import NEVER, Streams, floats, ints

__all__ = ["SCHEMA", "Finding", "Window", "levels", "summarise"]

SCHEMA: Final = 1

# And too large to be copied.
_UNUSED: Final = ["chunk_gaps_us", "request_id", "response_id", "name", "session_id", "body_sha256"]
_TIMES: Final = (  # and counts
    "ttfa_ms",
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
    entries = passes.with_intervals(judgement.levels(named, requests, windows, slos))
    seen = chain(doubts.of_table(requests, streams, planned), _of_levels(entries, planned, own_ends=own_ends))
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "verdict": doubts.verdict([*findings, *_of_missing(incomplete, requests, entries), *seen]),
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


def _of_missing(
    incomplete: Sequence[str], requests: pd.DataFrame, entries: Sequence[object]
) -> Iterator[Finding]:
    yield from (("invalid", f"incomplete: {reason}") for reason in incomplete)
    if not incomplete:
        yield from doubts.of_no_level(len(requests), entries)


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
    flags = Population.of(requests, streams, drop_under)
    seen = list(system_rates.counted(requests, streams, windows))
    levels = sorted(
        {w.level for w in windows} | (set(np.unique(flags.level[flags.measured]).tolist()) - {NEVER})
    )
    return [
        _level(requests, streams, level, flags.at(level), [one for one in seen if one.window.level == level])
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
    requests: pd.DataFrame, streams: Streams, level: int, here: Population, seen: Sequence[Counted]
) -> dict[str, Any]:
    succeeded = requests[here.ok]
    ok = succeeded if here.kept.sum() == here.ok.sum() else requests[here.kept]
    had_text = ok["chunks"] > 0
    seconds = [one.window.seconds for one in seen]
    repeats = {one.window.repeat for one in seen} or set(here.repeat[here.measured].tolist())
    times = own_times(ok)
    entry = {
        "level": level,
        "repeat_count": len(repeats),
        "requests": int(here.measured.sum()),
        "succeeded": len(succeeded),
        "dropped_short": len(succeeded) - len(ok),
        "failed": int(here.failed.sum()),
        "cancelled": int(here.cancelled.sum()),
        "errors": _counts(requests["error_class"][here.failed].fillna("unknown")),
        "windows": len(seen),
        "window_s": sum(seconds) if seen else None,
        "window_s_shortest": min(seconds, default=None),
        **system_rates.rates(seen),
        "wall_output_tokens_per_s": _wall_rate(ok),
        **{
            name: spread(values, RATE_QUANTILES if name in RATES else TIME_QUANTILES, top=name not in RATES)
            for name, values in times.items()
        },
        **{name: spread(floats(ok[name]), TIME_QUANTILES, top=True) for name in _TIMES},
        "chunk_gap_ms": spread(streams.gaps_ms(here.kept), TIME_QUANTILES, top=True),
        "first_chunk_counted": int(ok["first_chunk_tokens"].notna().sum()),
        "content_share": doubts.content_share(ok),
        "tokens_per_chunk": _tokens_per_chunk(ok),
        "output_length": doubts.lengths(succeeded, "output_tokens"),
        "prompt_length": doubts.lengths(succeeded, "prompt_tokens"),
        "empty": len(ok) - int(had_text.sum()),
        "zero_counted": int(((ok["output_tokens"] == 0) & (ok["token_source"] == "server") & had_text).sum()),
        "cached_tokens": _total(ok["cached_tokens"]),
        "reconnects": _total(requests["reconnects"][here.measured]),
        "token_sources": _counts(ok["token_source"].dropna()),
    }
    rows = passes.Rows(
        here.repeat[here.measured],
        here.ok[here.measured],
        here.failed[here.measured],
        here.repeat[here.kept],
        times,
    )
    return {**entry, "passes": passes.of_level(entry, rows, seen)}


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


def _tokens_per_chunk(ok: pd.DataFrame) -> float | None:
    """Mean output tokens a content event of streamed responses: 1 means that chunk gaps are token gaps."""
    tokens, chunks = floats(ok["output_tokens"]), floats(ok["chunks"])
    use = ok["streamed"].to_numpy(dtype=bool) & ~np.isnan(tokens) & (chunks > 0)
    return float(tokens[use].sum() / chunks[use].sum()) if use.any() else None


def _total(column: "pd.Series[Any]") -> int | None:
    known = column.dropna()
    return int(known.sum()) if len(known) else None


def _counts(words: "pd.Series[Any]") -> dict[str, int]:
    return {str(word): int(number) for word, number in sorted(words.value_counts().items())}
