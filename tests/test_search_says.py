"""What people are shown of a search, of saturation and of windows that were cut."""

from typing import Any

from harness import search_says

SLO = {
    "slo": "ttft_p95<100ms",
    "value": 26.8,
    "limit": 100.0,
    "unit": "ms",
    "n": 40,
    "few": False,
    "met": True,
}


def step(number: int, users: int, *, met: bool, records: bool | None = None) -> dict[str, Any]:
    """A line of the evidence."""
    return {
        "number": number, "level": users, "repeat": 1, "value": float(users), "title": f"{users} users", "why": "doubled",
        "met": met, "missed": [], "requests": 40, "whole": True, "live": [SLO], "agrees": records in (None, met),
        "records": {"met": met if records is None else records, "missed": [], "slo": [SLO]},
    }  # fmt: skip


def summary(**more: Any) -> dict[str, Any]:
    """summary.json, as far as it matters."""
    return {"levels": [], "search": None, "saturated": None, **more}


def test_nothing_to_say() -> None:
    """Of a run that neither searched nor stopped nor cut."""
    assert list(search_says.lines(summary(), 110)) == []
    assert list(search_says.section(summary())) == []


def test_the_evidence_is_a_table() -> None:
    """Step, load, measured values, what live counts and records said, and why it was held."""
    steps = [step(1, 8, met=True), step(2, 16, met=False, records=True)]
    told = summary(search={"answer": "8 users", "records_answer": "16 users", "steps": steps})
    lines = list(search_says.lines(told, 110))
    assert lines[1:3] == ["8 users", "by the records: 16 users"]
    assert [line.split() for line in lines if line.lstrip()[:1] in "12" and "doubled" in line] == [
        ["1", "8", "users", "40", "26.8", "ms", "yes", "yes", "doubled"],
        ["2", "16", "users", "40", "26.8", "ms", "no", "yes", "doubled"],
    ]


def test_the_report_has_the_same_and_escapes_it() -> None:
    """A cell each; nothing of it is markup."""
    steps = [step(1, 8, met=True) | {"why": "<b>"}]
    page = "".join(
        search_says.section(summary(search={"answer": "a < b", "records_answer": "a < b", "steps": steps}))
    )
    assert "<p>a &lt; b</p>" in page
    assert "<td>8 users</td><td>40</td><td>26.8 ms</td><td>yes</td><td>yes</td><td>&lt;b&gt;</td>" in page
    assert "<th>measured ttft_p95&lt;100ms</th>" in page


def test_saturation_and_cuts() -> None:
    """A sentence each."""
    reason = "steady after 3.5 s: TTFT had to settle"
    level = {
        "level": 8, "kind": "concurrency",
        "steady": {"cut": True, "share_dropped": 0.25, "from_s": 3.5, "reasons": [reason]},
    }  # fmt: skip
    full = {
        "level": 8,
        "title": "8 users",
        "reason": "8 users get no more",
        "dropped": ["16 users", "32 users"],
    }
    assert search_says.headline(summary(saturated=full, levels=[level])) == [
        "saturated at 8 users: 8 users get no more; not held: 16 users, 32 users",
        f"level 8: --warmup auto left out 25 % of its window, the first 3.5 s among it ({reason})",
    ]
