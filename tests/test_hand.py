"""One worker as the master sees it."""

from dataclasses import replace

import pytest

from harness.distributed.hand import Hand, name_of
from harness.orders import Report, Tally, Totals, digest
from harness.plan import Plan

SECOND = 10**9
TOTALS = Totals(offered=3, sent=3, succeeded=2, failed={"reset": 1})
JOURNAL = {"name": "journal-h-0.jsonl", "size": 10, "sha256": "0" * 64}


def hand() -> Hand:
    """One that joined at the beginning."""
    return Hand("id", "h-0", 0.0, 100 * SECOND)


def report(sent_ns: int = 0, **fields: object) -> Report:
    """A worker at work."""
    return replace(Report(run_id="r", state="ready", sent_ns=sent_ns, totals=TOTALS), **fields)


def ended() -> Report:
    """Its last word."""
    seal = digest("r", "h-0", TOTALS, JOURNAL)
    return report(state="ended", journal=JOURNAL, digest=seal, place="h:/x/journal-h-0.jsonl")


@pytest.mark.parametrize(
    ("client_id", "name"),
    [
        ("node7_9f8e", "node7-3"),
        ("pod_with_bars_9f8e", "pod-with-bars-3"),
        ("../../etc_9f8e", "etc-3"),
        ("_9f8e", "worker-3"),
        ("h" * 300 + "_9f8e", "h" * 60 + "-3"),
    ],
)
def test_names_are_safe_as_files(client_id: str, name: str) -> None:
    """Whatever a host calls itself."""
    assert name_of(client_id, 3) == name


def test_stamps_come_to_the_masters_clock() -> None:
    """A worker that is 40 ms ahead; what it never did stays None."""
    one = hand()
    ahead = 40_000_000
    one.hear(
        report(
            sent_ns=101 * SECOND + ahead,
            echo_ns=101 * SECOND - 1_000_000,
            got_ns=101 * SECOND + ahead,
            tallies=(Tally(index=0, given=2, first_ns=101 * SECOND + ahead),),
        ),
        101 * SECOND + 1_000_000,
    )
    (tally,) = one.tallies()
    assert (tally.first_ns, tally.start_ns, tally.given) == (101 * SECOND, None, 2)
    order = one.order("r", None, 102 * SECOND)
    assert (order.offset_ns, order.uncertainty_ns, order.step) == (ahead, 1_000_001, None)


def test_a_silence_is_noted() -> None:
    """The longest counts; what is worth an event is more than three seconds."""
    one = hand()
    for at in (101, 103, 108, 109):
        one.hear(report(), at * SECOND)
    assert one.silence_ns == 5 * SECOND
    assert one.events == ["silent for 5.0 s"]


def test_a_last_word_is_not_taken_back() -> None:
    """A report that it overtook on the way changes nothing."""
    one = hand()
    one.hear(ended(), 101 * SECOND)
    one.hear(report(users=5), 102 * SECOND)
    assert one.has_ended
    assert one.is_sealed("r")
    assert not one.is_sealed("another")
    assert not one.is_present


def test_a_changed_number_breaks_the_seal() -> None:
    """The statement then says that it is not signed."""
    one = hand()
    one.hear(replace(ended(), totals=replace(TOTALS, succeeded=3)), 101 * SECOND)
    assert one.statement("r", 100 * SECOND)["signed"] is False


def test_the_statement_of_one_who_ended() -> None:
    """As run.json keeps it."""
    one = hand()
    one.hear(ended(), 161 * SECOND)
    one.verified = True
    assert one.statement("r", 100 * SECOND) == {
        "name": "h-0",
        "host": "",
        "pid": 0,
        "state": "ended",
        "joined_s": 0.0,
        "last_heard_s": 61.0,
        "longest_silence_s": 61.0,
        "clock": None,
        "totals": {
            "offered": 3,
            "sent": 3,
            "succeeded": 2,
            "failed": {"reset": 1},
            "cancelled": 0,
            "dropped": 0,
            "entries": {},
            "probes": 0,
            "prompt_tokens": 0,
            "output_tokens": 0,
            "uncounted": 0,
        },
        "signed": True,
        "journal": {
            "bytes": 10,
            "sha256": "0" * 64,
            "verified": True,
            "place": "h:/x/journal-h-0.jsonl",
            "file": "journal-h-0.jsonl",
        },
        "metrics": None,
        "events": ["silent for 61.0 s"],
    }


def test_one_that_never_spoke_is_lost() -> None:
    """With nothing counted."""
    said = hand().statement("r", 100 * SECOND)
    assert (said["state"], said["signed"], said["totals"]["offered"]) == ("lost", False, 0)


def test_one_that_said_goodbye_has_left() -> None:
    """Its last word is as good as any other."""
    one = hand()
    one.hear(replace(ended(), leaving="was stopped by Ctrl-C"), 101 * SECOND)
    assert one.statement("r", 100 * SECOND)["state"] == "left"


def test_a_plan_that_is_stopped_is_ordered_as_such() -> None:
    """The step goes on being told, with the order to stop."""
    one, plan = hand(), Plan()
    plan.begin(5)
    plan.stop(9)
    order = one.order("r", plan, 10, give_up=True, drain_s=3.0)
    assert order.step is not None
    assert (order.step.level, order.stopped, order.give_up, order.drain_s) == (0, True, True, 3.0)
