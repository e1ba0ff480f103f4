"""How a run ends: what is missing, and which exit code says so."""

from typing import Any

import pytest

from harness.ending import INCOMPLETE, NOT_VALID, SLO_MISSED, USAGE, exit_code, missing
from harness.hope import Hope

WELL = {"complete": True, "verdict": {"status": "valid"}}
INVALID = {"complete": True, "verdict": {"status": "invalid"}}
MISSED, UNKNOWN = {"met": False}, {"met": None}
PARTIAL = {"complete": False, "verdict": {"status": "invalid"}}


@pytest.mark.parametrize(
    ("hope", "problem", "summary", "require_valid", "code"),
    [
        (Hope(), None, WELL, True, None),
        (Hope(), None, {"complete": True, "verdict": {"status": "suspect"}}, True, None),
        (Hope(), None, INVALID, False, None),
        (Hope(), None, INVALID, True, NOT_VALID),
        (Hope(), None, PARTIAL, True, INCOMPLETE),
        (Hope(), None, PARTIAL, False, INCOMPLETE),
        (Hope(), "the disk is full", None, True, INCOMPLETE),
        (Hope(lost="x", nothing_worked=True), None, PARTIAL, True, USAGE),
        (Hope(), None, None, True, None),
        (Hope(), None, WELL | {"slo": None}, False, None),
        (Hope(), None, WELL | {"slo": {"met": True}}, False, None),
        (Hope(), None, WELL | {"slo": MISSED}, False, SLO_MISSED),
        (Hope(), None, WELL | {"slo": UNKNOWN}, False, SLO_MISSED),
        (Hope(), None, INVALID | {"slo": MISSED}, False, SLO_MISSED),
        (Hope(), None, INVALID | {"slo": MISSED}, True, NOT_VALID),
        (Hope(), None, PARTIAL | {"slo": MISSED}, False, INCOMPLETE),
        (Hope(), None, WELL | {"slo": MISSED, "search": {"value": 8.0}}, False, 0),
        (Hope(), None, WELL | {"slo": MISSED, "search": {"value": None}}, False, SLO_MISSED),
        (Hope(), None, PARTIAL | {"slo": MISSED, "search": {"value": 8.0}}, False, INCOMPLETE),
        (Hope(), None, INVALID | {"slo": MISSED, "search": {"value": 8.0}}, True, NOT_VALID),
        (Hope(lost="x", nothing_worked=True), None, PARTIAL | {"slo": MISSED}, False, USAGE),
    ],
)
def test_exit_codes(
    hope: Hope, problem: str | None, summary: dict | None, require_valid: bool, code: int | None
) -> None:
    """2 before 5 before 4 before 3, also of an SLO that cannot be judged; None leaves it to Locust's own rule."""
    assert (USAGE, SLO_MISSED, NOT_VALID, INCOMPLETE) == (2, 3, 4, 5)
    assert exit_code(hope, problem, summary, require_valid=require_valid) == code


def said(offered: int = 0, cancelled: int = 0) -> dict[str, Any]:
    """A part's statement, as far as it matters here."""
    return {"totals": {"offered": offered, "cancelled": cancelled}}


def test_nothing_is_missing() -> None:
    """Failures are results; parts are taken together."""
    assert missing(Hope(), [said(8), said(2)], interrupted=False, planned=10) == []
    assert missing(Hope(), [said(8)], interrupted=False, planned=None) == []


def test_each_thing_that_is_missing_has_its_line() -> None:
    """With its number."""
    assert missing(Hope(lost="gone"), [said(3), said(4, cancelled=2)], interrupted=True, planned=10) == [
        "stopped early, gone",
        "interrupted",
        "3 of 10 planned requests were not sent",
        "2 requests were given up in flight",
    ]
    assert missing(Hope(), [said()], interrupted=False, planned=None) == ["no request was sent"]
