"""What the console and the report show of the server's own metrics: one line, one section.

From summary.json's `server_metrics` alone; nothing is computed here. What the server does not publish is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.report.settings import Pairs

__all__ = ["agreement", "line", "pairs"]

_GAUGES: Final = (
    ("queue", "queued", 1, ""),
    ("running", "running", 1, ""),
    ("KV cache in use", "kv_cache_usage", 100, " %"),
)
_GREW: Final = (
    ("prefix_cache_hits", "prompt tokens from its cache"),
    ("preemptions", "requests preempted"),
    ("requests", "requests it finished"),
)


def line(server: Mapping[str, Any] | None) -> str | None:
    """`llama.cpp, 31 looks: queue 4 at most, running 4, ...`; None if nobody looked."""
    if not server:
        return None
    parts = [f"{name} {most} at most" for name, most in _most(server)]
    return ", ".join([_whose(server), *parts]) + f"; output tokens: {agreement(server, 'output_tokens')}"


def agreement(server: Mapping[str, Any], what: str) -> str:
    """Whose count of `output_tokens` or `prompt_tokens` says what, in a sentence."""
    one, its = server[what], server["system"] or "the server"
    if one["result"] is None:
        return f"not compared with {its}'s own count, {one['why']}"
    counted = f"{its} counted {one['server']:,}, this client {one['ours']:,}"
    percent = f"{_short(abs(100 * (one['ratio'] - 1)))} %" if one["ratio"] is not None else "all"
    said = {
        "equal": "the same" if one["server"] == one["ours"] else f"{percent} apart",
        "more": f"{percent} more: of other clients, or of requests that were given up",
        "less": f"{percent} less: one of the two is wrong",
        "unfinished": f"{percent} less: it leaves out requests that came to no end ({one['unfinished']:,} of ours)",
        "edge": f"{percent} less: at most one token a request",
    }[one["result"]]
    rounded = f", {its} rounds by up to {one['rounding']:,.0f}" if one["rounding"] >= 1 else ""
    lacking = "1 request has" if one["uncounted"] == 1 else f"{one['uncounted']:,} requests have"
    uncounted = f"; {lacking} no count here" if one["uncounted"] else ""
    guessed = (
        f"; for {one['counted_here']:,} of our requests the tokens were counted here"
        if one["counted_here"]
        else ""
    )
    return f"{counted}, {said}{rounded}{uncounted}{guessed}"


def pairs(server: Mapping[str, Any] | None) -> Pairs:
    """The section: (what, figure)."""
    if not server:
        return []
    found = [("whose", _whose(server))]
    for name, gauge, scale, unit in _GAUGES:
        spread = server[gauge]
        if spread["n"]:
            found.append(
                (
                    name,
                    f"mean {_short(spread['mean'] * scale)}{unit}, most {_short(spread['max'] * scale)}{unit}",
                )
            )
    grew = server["grown"]
    found += [(said, f"{grew[name]:,}") for name, said in _GREW if grew[name] is not None]
    if (rate := server["prefix_cache_hit_rate"]) is not None:
        found.append(("prompt tokens found in its cache", f"{_short(100 * rate)} %"))
    return [
        *found,
        ("output tokens", agreement(server, "output_tokens")),
        ("prompt tokens", agreement(server, "prompt_tokens")),
    ]


def _whose(server: Mapping[str, Any]) -> str:
    gaps = f", {server['gaps']:,} of them without an answer" if server["gaps"] else ""
    return f"{server['system'] or 'unknown'}, {server['polls']:,} looks{gaps}"


def _most(server: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, gauge, scale, unit in _GAUGES:
        if server[gauge]["n"]:
            yield name, f"{_short(server[gauge]['max'] * scale)}{unit}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"
