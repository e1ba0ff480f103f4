"""The top of the report: what was tested, the verdict, and the figures people ask for first."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness.carried import shown
from harness.grid import number
from harness.report import slo as report_slo
from harness.report.text import SHORT, cut, safe

__all__ = ["Tile", "header", "nothing", "tiles", "title", "verdict", "warning", "when"]

_NONE: Final = "not measured"
_FIRST: Final = 6  # reasons before the figures; the others unfold
_TONES: Final = {True: "", False: " invalid", None: " suspect"}
_MET: Final = {True: "SLOs met", False: "SLO missed", None: "SLOs not judged"}

Tile = tuple[str, str, str]  # figure, what it is, where and of what


def title(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The run's name, else what was tested, else the run id."""
    what = [cut(settings[name], SHORT) for name in ("backend", "model", "host") if settings.get(name)]
    return cut(settings.get("run_name") or " \N{MIDDLE DOT} ".join(what) or summary["run_id"], 2 * SHORT)


def header(summary: Mapping[str, Any], settings: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[str]:
    """Title, what was tested and when, and the verdict in a word."""
    status, name = safe(summary["verdict"]["status"]), title(summary, settings)
    told = ("backend", "model", "host") if settings.get("run_name") else ()
    said = [
        *(str(settings[key]) for key in told if settings.get(key)),
        when(run.get("started_at"), run.get("finished_at")),
        *([] if name == summary["run_id"] else [f"run {summary['run_id']}"]),
    ]
    yield f'<header><div><h1>{escape(name)}</h1><p class="sub">'
    yield " &middot; ".join(f"<bdi>{safe(part, SHORT)}</bdi>" for part in said if part)
    yield f'</p></div><p class="pills"><span class="pill {status}">{status}</span>'
    if judged := summary.get("slo"):
        yield f'<span class="pill{_TONES[judged["met"]]}">{_MET[judged["met"]]}</span>'
    yield "</p></header>"


def when(begun: object, ended: object) -> str:
    """`2026-11-21 04:23:12 to 04:23:48 UTC`, the date said once."""
    begin, end = (str(time or "")[:19].replace("T", " ") for time in (begun, ended))
    if begin[:10] == end[:10]:
        end = end[11:]
    both = " to ".join(time for time in (begin, end) if time)
    return both and f"{both} UTC"


def verdict(summary: Mapping[str, Any]) -> Iterator[str]:
    """What is to know before anything is read: that there is nothing, that it is not all, or why to doubt it."""
    none, reasons = nothing(summary), summary["verdict"]["reasons"]
    if not none and not reasons:
        return
    tone = "invalid" if none else safe(summary["verdict"]["status"])
    yield f'<section class="doubt {tone}" id="verdict">'
    yield from (f"<p><strong>{escape(one)}</strong></p>" for one in (none, warning(summary)) if one)
    yield from _listed(reasons[:_FIRST])
    if more := reasons[_FIRST:]:
        yield f"<details><summary>and {len(more):,} more</summary>"
        yield from _listed(more)
        yield "</details>"
    yield "</section>"


def _listed(reasons: Sequence[str]) -> Iterator[str]:
    if reasons:
        yield "<ul>" + "".join(f"<li>{safe(reason)}</li>" for reason in reasons) + "</ul>"


def nothing(summary: Mapping[str, Any]) -> str:
    """That nothing was measured, in a sentence; empty where something was."""
    totals = summary["totals"]
    if totals["succeeded"]:
        return ""
    if not totals["offered"] - totals["unsent"]:
        return "No request was sent. There is nothing to measure"
    sent = totals["offered"] - totals["unsent"]
    which = "The only request did not succeed" if sent == 1 else f"None of {sent:,} requests succeeded"
    return f"{which}. There is no throughput and no latency to show"


def warning(summary: Mapping[str, Any]) -> str:
    """How to read what follows; empty for a run without a doubt."""
    if not summary["complete"]:
        return "These results are incomplete"
    if summary["verdict"]["status"] == "invalid":
        return "These results cannot be trusted"
    return "Read these results with care" if summary["verdict"]["reasons"] else ""


def tiles(summary: Mapping[str, Any]) -> list[Tile]:
    """The figures people ask for first, each with the level it belongs to; counts alone if nothing succeeded."""
    totals = summary["totals"]
    rated = [level for level in summary["levels"] if level["succeeded"]]
    bad = totals["offered"] - totals["succeeded"]
    found = [(f"{totals['succeeded']:,}", "requests succeeded", f"of {totals['offered']:,}; {bad:,} did not")]
    if rated:
        found = [*_rates(max(rated, key=lambda level: level["system_output_tokens_per_s"] or 0.0)), *found]
    elif not totals["succeeded"]:
        names = ("failed", "cancelled", "unsent")
        found += [
            (f"{totals[name]:,}", f"requests {name}", "in all phases") for name in names if totals[name]
        ]
    if judged := summary.get("slo"):
        state, _, how = report_slo.headline(judged).partition(": ")
        found.append((state, "service levels", how or "; ".join(cut(one, SHORT) for one in judged["asked"])))
    return found


def _rates(peak: Mapping[str, Any]) -> list[Tile]:
    """The tiles of the level with the highest throughput."""
    system = peak["system_output_tokens_per_s"]
    each, wait = peak["request_output_tokens_per_s"], peak["ttft_ms"]
    what, until = "tokens/s for each request", "time to first token"
    if not wait["n"]:  # not streamed
        each, wait = peak["request_total_tokens_per_s"], peak["e2e_ms"]
        what, until = "prompt and output tokens/s for each request", "end to end"
    at = f"at {cut(peak['title'], SHORT)}"
    carried: Sequence[tuple[str, str]] = [
        (key, said) for key, said in (("p95", "p95"), ("median", "median")) if shown(wait, key) is not None
    ]
    key, said = carried[0] if carried else ("p95", "p95")
    waited = shown(wait, key)
    return [
        (
            _NONE if system is None else number(system),
            "output tokens/s, whole system",
            at if system is None else f"highest, {at}",
        ),
        (_NONE if each["median"] is None else number(each["median"]), what, f"median, {at}"),
        (_NONE if waited is None else f"{number(waited)} ms", until, f"{said}, {at}"),
    ]
