"""JUnit XML of a run, for pipelines that show tests: Jenkins, GitLab, GitHub's actions that read it.

    testsuite   the run; its properties are the settings' few that tell runs apart
    testcase    `complete`, `verdict`, `requests`, and for each level each service level, e.g. `8 users: ttft_p95<2s`
    failure     what would fail the run: a level that missed or could not be judged, results that are missing, an
                invalid verdict, not one request that succeeded. A suspect verdict passes and is told in `system-out`

A search is one case: that levels beyond the answer miss is what it is made of. Names do not change between runs, so that
a history can be kept of them. Valid by Jenkins' own schema, `junit-10.xsd` of jenkinsci/xunit-plugin. What came from outside
is one line of printable characters. Values in, text out. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from xml.etree import ElementTree as ET

from harness import loadpoint
from harness.grid import NULL, clean, number

__all__ = ["text"]

LONGEST: Final = 500  # characters of anything that came from outside
_NOT_JUDGED: Final = ("not judged", ["could not be judged: nothing was measured"])
_PROPERTIES: Final = (
    "model",
    "host",
    "backend",
    "api_mode",
    "run_name",
    "prompt_tokens",
    "output_tokens",
    "seed",
)


def text(summary: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The document.

    Args:
        summary: summary.json.
        run: run.json.
    """
    settings: Mapping[str, Any] = run.get("settings") or {}
    group = (
        f"tokenswarm.{_said(settings['run_name']).replace('.', '-')}"
        if settings.get("run_name")
        else "tokenswarm"
    )
    cases = list(_cases(summary, group))
    failed = sum(case.find("failure") is not None for case in cases)
    counts = {"tests": str(len(cases)), "failures": str(failed), "errors": "0"}
    root = ET.Element("testsuites", {"name": "tokenswarm", **counts})
    suite = ET.SubElement(
        root,
        "testsuite",
        {"name": _said(summary["run_id"]), **counts, "skipped": "0", **_when(run), **_where(run)},
    )
    kept = ET.SubElement(suite, "properties")
    labels = {f"label.{name}": value for name, value in (settings.get("labels") or {}).items()}
    for name, value in ({key: settings.get(key) for key in _PROPERTIES} | labels).items():
        if value is not None:
            ET.SubElement(kept, "property", {"name": _said(name), "value": _said(value)})
    suite.extend(cases)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _cases(summary: Mapping[str, Any], group: str) -> Iterator[ET.Element]:
    missing = [] if summary["complete"] else [*summary["incomplete"]] or ["results are missing"]
    yield _case(group, "complete", ("incomplete", missing))
    yield _verdict(summary["verdict"], group)
    yield _requests(summary, group)
    sought = summary.get("search")
    if sought:
        answer = [sought["answer"]]
        yield _case(group, "search", ("missed", answer if sought["value"] is None else []), answer)
        return
    for level in summary["levels"]:
        for one in level.get("slo") or ():
            yield _level(level, one, group)
    if summary.get("slo") and not summary["levels"]:
        for asked in summary["slo"]["asked"]:
            yield _case(group, _said(asked), _NOT_JUDGED)


def _verdict(verdict: Mapping[str, Any], group: str) -> ET.Element:
    reasons = list(verdict["reasons"])
    if verdict["status"] == "invalid":
        return _case(group, "verdict", ("invalid", reasons or ["invalid"]))
    return _case(group, "verdict", ("invalid", []), [verdict["status"], *reasons])


def _requests(summary: Mapping[str, Any], group: str) -> ET.Element:
    """Failures are for `--slo error_rate<...` to judge; a run without one success has nothing to be judged by."""
    totals = summary["totals"]
    said = [
        ", ".join(f"{totals[name]} {name}" for name in ("succeeded", "failed", "cancelled", "unsent")),
        *(
            ", ".join(
                f"{name} {kind[name]}"
                for name in ("count", "error_class", "http_status", "message")
                if kind[name]
            )
            for kind in summary.get("failures") or ()
        ),
    ]
    return _case(
        group, "requests", ("failed", [] if totals["succeeded"] else ["none succeeded", *said]), said
    )


def _level(level: Mapping[str, Any], one: Mapping[str, Any], group: str) -> ET.Element:
    name = f"{_said(level.get('title') or loadpoint.title(level['level'], None))}: {_said(one['slo'])}"
    if one["met"] is None:
        return _case(group, name, _NOT_JUDGED)
    few = " of too few requests to be sure" if one["few"] else ""
    told = f"{_value(one['value'], one['unit'])}, limit {_value(one['limit'], one['unit'])}"
    told += f", n {one['n']}{few}" if one["n"] is not None else ""
    return _case(group, name, ("missed", [] if one["met"] else [told]), [told] if one["met"] else [])


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return NULL
    return f"{number(value, scale=100)} %" if unit == "share" else f"{number(value)} {unit}"


def _case(group: str, name: str, failure: tuple[str, Sequence[str]], out: Sequence[str] = ()) -> ET.Element:
    """One test; `failure`: its type and its lines, of which the first is the message; no lines, no failure."""
    case = ET.Element("testcase", {"classname": group, "name": name, "time": "0"})
    kind, lines = failure
    if lines:
        ET.SubElement(case, "failure", {"type": kind, "message": _said(lines[0])}).text = _lines(lines)
    if out:
        ET.SubElement(case, "system-out").text = _lines(out)
    return case


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(map(_said, lines))


def _said(value: object) -> str:
    """One line that XML can hold: printable characters hold no control character, surrogate or non-character."""
    return clean(str(value)[: 4 * LONGEST])[:LONGEST]


def _when(run: Mapping[str, Any]) -> dict[str, str]:
    """`timestamp`, UTC without a zone as the schemas have it, and `time`, s; nothing of what is not known."""
    try:
        begun, ended = (datetime.fromisoformat(str(run.get(name))) for name in ("started_at", "finished_at"))
        taken = {"time": f"{max(0.0, (ended - begun).total_seconds()):.3f}"}
        return {"timestamp": begun.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")} | taken
    except (ValueError, TypeError):
        return {}


def _where(run: Mapping[str, Any]) -> dict[str, str]:
    host = run.get("host")
    name = host.get("name") if isinstance(host, Mapping) else None
    return {"hostname": _said(name)} if name else {}
