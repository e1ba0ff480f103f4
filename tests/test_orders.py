"""Orders and reports survive Locust's wire, and nothing else passes for one."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.orders import Order, Report, Step, Tally, Totals, digest

STEP = Step(index=2, level=8, repeat=1, open_ns=1_795_000_000_000_000_000, warmup=4, quota=None)
ORDER = Order(
    run_id="r",
    sent_ns=5,
    name="host-0",
    briefing={"name": "b", "size": 3},
    step=STEP,
    drain_s=30.0,
    stopped=True,
)
REPORT = Report(
    run_id="r",
    state="ready",
    sent_ns=7,
    echo_ns=5,
    got_ns=6,
    users=3,
    tallies=(Tally(index=2, given=4, first_ns=9),),
    totals=Totals(offered=4, sent=4, succeeded=3, failed={"reset": 1}),
    notes=(("suspect", "rested"),),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def over_the_wire(message: dict[str, Any]) -> Any:
    """As Locust packs and unpacks it."""
    return msgpack.loads(msgpack.dumps(message), raw=False, strict_map_key=False)


def test_what_is_sent_is_what_is_read() -> None:
    """All of it, nested parts too."""
    assert Order.read(over_the_wire(ORDER.wire())) == ORDER
    assert Report.read(over_the_wire(REPORT.wire())) == REPORT


def test_a_later_versions_fields_are_passed_over() -> None:
    """An older peer understands what it knows."""
    assert Order.read(over_the_wire(ORDER.wire() | {"mood": "good"})) == ORDER


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("users", "many", "Report: Expected `int`, got `str` - at `$.users`"),
        ("users", True, "Report: Expected `int`, got `bool` - at `$.users`"),
        ("tallies", [3], "Report: Expected `object`, got `int` - at `$.tallies[0]`"),
        (
            "totals",
            {"failed": {"reset": "x"}},
            "Report: Expected `int`, got `str` - at `$.totals.failed[...]`",
        ),
        ("notes", [["suspect"]], "Report: Expected `array` of length 2, got 1 - at `$.notes[0]`"),
    ],
)
def test_what_is_none_is_refused_in_a_line(field: str, value: object, said: str) -> None:
    """It names the field."""
    with pytest.raises(ValueError) as refused:
        Report.read(over_the_wire(REPORT.wire() | {field: value}))
    assert str(refused.value) == said


@given(message=JSON, at=st.sampled_from(sorted(REPORT.wire())))
def test_nothing_a_peer_says_raises_anything_else(message: object, at: str) -> None:
    """Whole messages of garbage, and one field of garbage."""
    for said in (message, REPORT.wire() | {at: message}):
        with suppress(ValueError):
            Report.read(said)


def test_the_seal_is_of_everything_said() -> None:
    """One number, one name or one byte of the journal's checksum changed: another seal."""
    totals, journal = Totals(offered=3, succeeded=3), {"name": "j", "size": 3, "sha256": "ab"}
    seal = digest("r", "w", totals, journal)
    assert seal == digest("r", "w", Totals(offered=3, succeeded=3), dict(reversed(journal.items())))
    others = (
        digest("s", "w", totals, journal),
        digest("r", "v", totals, journal),
        digest("r", "w", Totals(offered=3, succeeded=2), journal),
        digest("r", "w", totals, journal | {"size": 4}),
        digest("r", "w", totals, None),
    )
    assert len({seal, *others}) == 6
