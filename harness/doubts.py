"""Why a run's figures may not be trusted, as far as its own table can tell.

A finding is (status, reason); the verdict is the worst status of all of them, with every reason. Reasons
are one line each: what was seen, with its number, and what to do about it. Doubts about the client
(`harness.client_doubts`) and lost workers come from elsewhere and are only ranked here.

Lengths are judged here too. A size is *off* if it differs from the one asked for by more than a tenth and by
more than one token: whether a start or end token counts is the server's business. An answer that came short
and has a finish reason other than `length` ended by itself, as models do where nothing forces a length; that
alone is no doubt, unless most answers did it and the user did not say that they may.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from harness import level_doubts, loadpoint
from harness.level_doubts import FEW, Finding
from harness.windows import Streams, floats

__all__ = [
    "Finding",
    "answers_off",
    "content_share",
    "lengths",
    "of_level",
    "of_no_level",
    "of_table",
    "prompts_off",
    "verdict",
]

_SEVERITY: Final = ("valid", "suspect", "invalid")

OFF: Final = 0.10  # of the size asked for
NEAR: Final = 0.01
OFF_ESTIMATED: Final = 0.50  # where the size is but an estimate
MANY_OFF: Final = 0.05  # of a level's requests
EVENTS: Final = 8  # fewer may come together by chance
SHAM: Final = 0.02  # of E2E
BUNDLED: Final = 0.05  # of TPOT


def verdict(findings: Sequence[Finding]) -> dict[str, Any]:
    """`{status, reasons}`: the worst status, and all reasons, the worst first, each once."""
    ranked = sorted(dict.fromkeys(findings), key=lambda finding: -_SEVERITY.index(finding[0]))
    return {
        "status": ranked[0][0] if ranked else "valid",
        "reasons": [reason for _, reason in ranked],
    }


def of_table(requests: pd.DataFrame, streams: Streams, planned: int | None) -> Iterator[Finding]:
    """Doubts about the run as a whole."""
    rows = len(requests)
    if not rows:
        yield "invalid", "no request was recorded"
    wanted = int((requests["phase"] != "probe").sum())
    if planned is not None and planned < wanted:
        yield "suspect", f"{wanted} requests were recorded where {planned} were planned"
    estimated = int((requests["token_source"] == "estimated").sum())
    if estimated:
        reason = (
            f"output tokens of {estimated} of {rows} requests are estimated: the server did not count them"
        )
        yield "suspect", f"{reason} and there was no tokenizer; give --tokenizer"
    if impossible := _impossible(requests):
        said = f"the server's own times of {impossible} of {rows} requests are longer than the requests were"
        yield "suspect", f"{said}: are they in another unit? (docs/backends.md)"
    if streams.uncounted:
        reason = f"{streams.uncounted} of {rows} requests gave content that nobody counted"
        yield "suspect", f"{reason}; their tokens are missing from every rate; give --tokenizer"


def _impossible(requests: pd.DataFrame) -> int:
    """Requests whose server says of a part of them that it took half as long again as the whole, and 50 ms more."""
    parts = ("server_queue_ms", "server_prefill_ms", "server_decode_ms", "server_ttft_ms", "server_e2e_ms")
    whole_ms = (floats(requests["end_ns"]) - floats(requests["sent_ns"])) / 1e6
    longer = [floats(requests[part]) > 1.5 * whole_ms + 50 for part in parts]  # nan is not longer
    return int(np.count_nonzero(np.any(longer, axis=0)))


def of_no_level(rows: int, levels: Sequence[object]) -> Iterator[Finding]:
    """That requests were sent and none of them measured."""
    if rows and not levels:
        reason = "nothing was measured: load ended before all users were up and past their warm-up"
        yield (
            "invalid",
            f"{reason}; unless it was stopped, give a longer -t, or a higher -r (1 a second if not given)",
        )


def of_level(level: Mapping[str, Any], *, timed: bool, own_ends: bool) -> Iterator[Finding]:
    """Doubts about one level's entry of the summary.

    `timed`: its end was a time and not a number of requests. `own_ends`: the user asked for answers that may
    end by themselves.
    """
    name = f"level {loadpoint.short(level)}"
    yield from level_doubts.of_level(name, level, timed=timed)
    if level["zero_counted"]:
        yield (
            "suspect",
            f"{name}: the server counted 0 tokens for {level['zero_counted']} answers that had text",
        )
    if level["dropped_short"] and level["dropped_short"] == level["succeeded"]:
        yield "suspect", f"{name}: --drop-answers-under leaves none of its {level['succeeded']} answers"
    if level["empty"]:
        yield "suspect", f"{name}: {level['empty']} of {level['succeeded']} answers held no text"
    yield from _of_bundles(name, level)
    share = level["content_share"]
    if share is not None and share < SHAM:
        when = f"all events of an answer come at its end (within {100 * share:.2g} % of E2E)"
        yield "suspect", f"{name}: streams in name only: {when}, so TTFT is E2E; see --stream no"
    yield from _of_answers(name, level["output_length"], own_ends=own_ends)
    yield from _of_prompts(name, level["prompt_length"])


def _of_answers(name: str, length: Mapping[str, Any], *, own_ends: bool) -> Iterator[Finding]:
    compared = length["compared"]
    held = length["off"] - length["off_own_end"]  # nothing but the server's limit explains these
    if held > MANY_OFF * compared or (length["off"] > compared / 2 and not own_ends):
        yield (
            "suspect",
            f"{name}: {answers_off(length)}; see --exact-output",
        )


def _of_bundles(name: str, level: Mapping[str, Any]) -> Iterator[Finding]:
    """Where events carry several tokens and the server does not say how many the first does, TPOT takes it for one."""
    bundle, length = level["tokens_per_chunk"], level["output_tokens"]["mean"]
    if (
        level["succeeded"] < FEW
        or not bundle
        or not length
        or level["first_chunk_counted"]
        or length <= bundle
    ):
        return
    too_low = 1 - (length - bundle) / (length - 1)
    if too_low > BUNDLED:
        said = f"{name}: events carry {bundle:.2g} tokens each and none says how many the first does"
        yield (
            "suspect",
            f"{said}: TPOT may be {100 * too_low:.2g} % too low, and tokens/s per request too high",
        )


def _of_prompts(name: str, length: Mapping[str, Any]) -> Iterator[Finding]:
    if length["off"] > MANY_OFF * length["compared"]:
        yield "suspect", f"{name}: {prompts_off(length)}; give the model's own --tokenizer"


def content_share(ok: pd.DataFrame) -> float | None:
    """Which part of E2E, at the median, lies between first and last content of streams of `EVENTS` or more events.

    None without such streams. Near 0 the answer was ready before its first event was sent.
    """
    use = ok["streamed"].to_numpy(dtype=bool) & (floats(ok["chunks"]) >= EVENTS) & (floats(ok["e2e_ms"]) > 0)
    after = floats(ok["e2e_ms"])[use] - floats(ok["ttft_ms"])[use]
    return float(np.median(after / floats(ok["e2e_ms"])[use])) if use.any() else None


def answers_off(length: Mapping[str, Any]) -> str:
    """`18 of 18 answers were shorter than asked (median 21 of 150 tokens), 18 of them ended by themselves`."""
    shorter, longer, own = length["off_shorter"], length["off_longer"], length["off_own_end"]
    said = f"{length['off']} of {length['compared']} answers were"
    if shorter and longer:
        said += f" of another length than asked, {shorter} shorter and {longer} longer"
    else:
        said += f" {'longer' if longer else 'shorter'} than asked"
    said += f" (median {length['off_median']:.6g} of {length['off_median_asked']:.6g} tokens)"
    return said + (f", {own} of them ended by themselves" if own else "")


def prompts_off(length: Mapping[str, Any]) -> str:
    """`18 of 18 prompts were counted 100 tokens by the server where 550 were asked`, medians."""
    said = f"{length['off']} of {length['compared']} prompts were counted {length['off_median']:.6g} tokens"
    return f"{said} by the server where {length['off_median_asked']:.6g} were asked"


def lengths(
    ok: pd.DataFrame, what: Literal["output_tokens", "prompt_tokens"]
) -> dict[str, int | float | None]:
    """Did these requests have the length that was asked for?

    `asked` counts also those that nobody counted, `compared` only those both known; `near` are those within one in a
    hundred, `mean_share_off` the mean of count / asked - 1. An estimate is off if it is by half. The medians are of those that are off, tokens.
    """
    asked, got = floats(ok[f"requested_{what}"]), floats(ok[what])
    gap = got - asked
    estimated = (ok["token_source"] == "estimated").to_numpy(dtype=bool)
    if what == "prompt_tokens":  # what we counted ourselves is what we asked for
        gap = np.where(ok["prompt_token_source"].isin(["tokenizer", "estimated"]), np.nan, gap)
        estimated = np.zeros_like(estimated)
    tolerated = np.where(estimated, OFF_ESTIMATED, OFF) * asked
    off = np.abs(gap) > np.maximum(1.0, tolerated)  # an unknown gap is nan, and so not off
    ended = (ok["finish_reason"].notna() & (ok["finish_reason"] != "length")).to_numpy(dtype=bool)

    def count(these: Any) -> int:  # noqa: ANN401  an array of truths
        return int(np.count_nonzero(these))

    with np.errstate(divide="ignore", invalid="ignore"):
        share = gap / asked
    known = share[np.isfinite(share)]
    found: dict[str, int | float | None] = {
        "asked": count(~np.isnan(asked)),
        "compared": count(~np.isnan(gap)),
        "got_equal": count(gap == 0),
        "shorter": count(gap < 0),
        "longer": count(gap > 0),
        "near": count(np.abs(known) <= NEAR),
        "mean_share_off": float(known.mean()) if len(known) else None,
        "off": count(off),
        "off_shorter": count(off & (gap < 0)),
        "off_longer": count(off & (gap > 0)),
    }
    if what == "output_tokens":
        found["off_own_end"] = count(off & (gap < 0) & ended)
    return found | {
        "off_median": float(np.median(got[off])) if off.any() else None,
        "off_median_asked": float(np.median(asked[off])) if off.any() else None,
    }
