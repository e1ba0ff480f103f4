"""The books of a run: they balance when nothing is missing, and say who and how much when something is."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import record

from harness.audit import account, findings, missing
from harness.errors import ErrorClass
from harness.record import Outcome
from harness.rows import load, write

ROOT = Path(__file__).parent.parent

CLASSES = ("overload", "connect", "reset")


def table(**workers):
    """Requests of each worker, by a letter each: `.` ok, `x` cancelled, o c r failed by class; `c` was never sent."""
    classes = {"o": "overload", "c": "connect", "r": "reset"}
    outcomes = {".": "ok", "x": "cancelled"}
    rows = [(name, letter) for name, letters in workers.items() for letter in letters]
    return pd.DataFrame(
        {
            "worker": pd.Series([name for name, _ in rows], dtype=object),
            "outcome": pd.Series([outcomes.get(letter, "failed") for _, letter in rows], dtype=object),
            "error_class": pd.Series([classes.get(letter) for _, letter in rows], dtype=object),
            "sent_ns": pd.array([None if letter == "c" else 5 for _, letter in rows], dtype="Int64"),
        }
    )


def totals(letters, **changed):
    """What a worker that sent these says of itself."""
    count = Counter(letters)
    failed = {word: count[word[0]] for word in CLASSES if count[word[0]]}
    plain = {"offered": len(letters), "sent": len(letters) - count["c"], "succeeded": count["."]}
    return {**plain, "failed": failed, "cancelled": count["x"], "dropped": 0, **changed}


def said(name, letters="", **changed):
    """A worker's statement, all well unless something is changed."""
    return {
        "name": name, "host": name, "pid": 7, "state": "ended", "joined_s": 0.1, "last_heard_s": 61.2, "longest_silence_s": 1.1,
        "clock": {"offset_ms": 0.02, "uncertainty_ms": 0.09}, "totals": totals(letters), "signed": True,
        "journal": {"bytes": 9, "sha256": "ab", "verified": True, "place": f"{name}:/r/{name}.jsonl", "file": f"{name}.jsonl"},
        "events": [], **changed,
    }  # fmt: skip


def lost(name, letters, **changed):
    """A worker that was not heard to the end; these were its last totals. Its journal lies on its own host."""
    journal = {
        "bytes": None,
        "sha256": None,
        "verified": False,
        "place": f"{name}:/r/{name}.jsonl",
        "file": None,
    }
    return said(name, letters, **{"state": "lost", "signed": False, "journal": journal, **changed})


def test_books_that_balance():
    """Every count, by worker and in all; sent is counted from the stamps, failed by class."""
    found = account([said("a", "...x"), said("b", "..oocr")], table(a="...x", b="..oocr"), 12)
    assert found is not None
    by_worker = found.pop("workers")
    assert found == {
        "reconciles": True, "planned": 12, "offered": 10, "sent": 9, "succeeded": 5, "cancelled": 1, "unaccounted": 0,
        "rows": 10, "failed": {"connect": 1, "overload": 2, "reset": 1}, "unsent": 2, "differences": [],
        "probes": 0,
    }  # fmt: skip
    assert by_worker[1] == {
        "name": "b", "state": "ended", "signed": True, "offered": 6, "sent": 5, "succeeded": 2,
        "failed": {"connect": 1, "overload": 2, "reset": 1}, "cancelled": 0, "unaccounted": 0, "rows": 6, "reconciles": True,
        "differences": [], "joined_s": 0.1, "last_heard_s": 61.2, "longest_silence_s": 1.1, "clock_offset_ms": 0.02,
        "clock_uncertainty_ms": 0.09, "journal_verified": True, "events": [],
    }  # fmt: skip
    assert by_worker[0]["offered"] == by_worker[0]["rows"] == 4
    assert list(findings(found | {"workers": by_worker})) == []
    assert missing([said("a", "...x"), said("b", "..oocr")]) == []


def test_the_table_may_be_a_real_one(tmp_path):
    """Columns as they come from requests.parquet, whose error classes are the record's."""
    failed = {"outcome": Outcome.FAILED, "error_class": ErrorClass.CONNECT, "sent_ns": None}
    write(
        tmp_path / "t",
        [
            record("1", worker="a"),
            record("2", worker="a", **failed),
            record("3", worker="b", outcome=Outcome.CANCELLED),
        ],
    )
    found = account([said("a", ".c"), said("b", "x")], load(tmp_path / "t"), None)
    assert found["reconciles"]
    assert (found["sent"], found["failed"], found["cancelled"], found["unsent"]) == (
        2,
        {"connect": 1},
        1,
        None,
    )
    assert json.loads(json.dumps(found)) == found


def test_older_runs_have_no_audit():
    """Nobody made a statement; no doubts, nothing missing."""
    assert account(None, table(a=".."), 2) is None
    assert list(findings(None)) == []
    assert missing(None) == []


def test_a_run_without_a_request_balances():
    """Nothing was offered and nothing is there."""
    found = account([said("a")], table(), 5)
    assert (found["reconciles"], found["offered"], found["unsent"], found["rows"]) == (True, 0, 5, 0)


@pytest.mark.parametrize(
    ("letters", "reason"),
    [
        ("...", "it signed 4 succeeded, the table has 3; it signed 4 sent, the table has 3"),
        (".....", "it signed 4 succeeded, the table has 5; it signed 4 sent, the table has 5"),
        ("...x", "it signed 0 cancelled, the table has 1; it signed 4 succeeded, the table has 3"),
        ("....c", "it signed 0 failed connect, the table has 1"),
    ],
)
def test_a_signed_word_has_to_agree_with_the_rows(letters, reason):
    """Class by class, a row more or less or of another kind: invalid, with worker and numbers."""
    found = account([said("a", "...."), said("b", ".")], table(a=letters, b="."), None)
    assert not found["reconciles"]
    assert list(findings(found)) == [("invalid", f"worker a does not reconcile: {reason}")]
    assert [one["reconciles"] for one in found["workers"]] == [False, True]


def test_a_signed_word_has_to_agree_with_itself():
    """What was offered has ended; what was sent is no more than that."""
    found = account([said("a", "..", totals=totals("..", offered=3))], table(a=".."), None)
    assert found["workers"][0]["differences"] == ["it signed 3 offered, of which 2 ended"]
    assert (found["offered"], found["unaccounted"]) == (3, 1)
    found = account([said("a", "..", totals=totals("..", sent=3))], table(a=".."), None)
    assert found["workers"][0]["differences"] == ["it signed 3 sent, the table has 2"]


def test_rows_may_be_missing_where_it_is_known_why():
    """Dropped lines, as many as there were, and a journal that is not here: unaccounted for, and no contradiction."""
    dropped = said("a", "....o", totals=totals("....o", dropped=2))
    found = account([dropped], table(a="..."), None)
    assert (found["reconciles"], found["unaccounted"], found["offered"], found["sent"]) == (True, 2, 5, 3)
    assert not account([dropped], table(a=".."), None)["reconciles"]
    assert not account([dropped], table(a="...x"), None)["reconciles"]
    away = said("a", "....o", journal={"verified": False, "place": "a:/r/j", "file": None})
    found = account([away], table(), None)
    assert (found["reconciles"], found["unaccounted"], found["offered"]) == (True, 5, 5)
    assert not account([away], table(a="......"), None)["reconciles"]
    assert not account([said("a", "....o", journal=None)], table(), None)["reconciles"]


@pytest.mark.parametrize(
    ("last_word", "rows", "offered", "unaccounted"),
    [
        ("...", "", 3, 3),  # its journal has not come
        ("...", ".....x", 6, 0),  # it went on after its last word
        ("..o", "....", 5, 1),  # the failed one was not written any more
        ("...", "...", 3, 0),
    ],
)
def test_a_lost_worker_is_taken_at_its_least(last_word, rows, offered, unaccounted):
    """At least its last totals, class by class, and at least its rows."""
    found = account([lost("a", last_word)], table(a=rows), None)
    assert found["reconciles"]
    assert (found["offered"], found["unaccounted"], found["rows"]) == (offered, unaccounted, len(rows))


def test_what_was_in_flight_at_the_last_word_counts():
    """Three had ended and two were under way: five, of which four are in the journal."""
    word = totals("...", offered=5, sent=5)
    found = account([lost("a", "", totals=word)], table(a="...."), None)
    assert (found["offered"], found["unaccounted"]) == (5, 1)


def test_rows_of_a_stranger_do_not_reconcile():
    """Nobody says how many there should be."""
    found = account([said("a", ".")], table(a=".", evil="..o"), None)
    stranger = found["workers"][1]
    assert (stranger["name"], stranger["state"], stranger["rows"], stranger["offered"]) == (
        "evil",
        "unknown",
        3,
        3,
    )
    assert stranger["clock_offset_ms"] is stranger["journal_verified"] is stranger["joined_s"] is None
    assert list(findings(found)) == [
        (
            "invalid",
            "worker evil has 3 requests in the table and does not reconcile: no worker of that name took part",
        )
    ]


def test_two_statements_of_one_name_do_not_share_the_rows():
    """The second has none."""
    found = account([said("a", ".."), said("a", "..")], table(a=".."), None)
    assert [one["rows"] for one in found["workers"]] == [2, 0]
    assert [one["reconciles"] for one in found["workers"]] == [True, False]


def test_more_than_was_planned_is_a_contradiction():
    """Unless a worker was taken for lost, whose leaves others were given as well."""
    found = account([said("a", "....")], table(a="...."), 3)
    assert (found["reconciles"], found["unsent"]) == (False, 0)
    assert list(findings(found)) == [
        ("invalid", "the audit does not reconcile: 4 requests offered where 3 were planned")
    ]
    frozen = said("a", "....", longest_silence_s=15.0)
    assert account([frozen], table(a="...."), 3)["reconciles"]
    assert account([said("a", "..."), lost("b", ".")], table(a="...", b="."), 3)["reconciles"]


def test_silence_late_comers_and_vague_clocks_are_doubts():
    """Each once, with the worst of them and what it means; three are named."""
    workers = [
        said("a", ".", longest_silence_s=6.2),
        said("b", ".", longest_silence_s=3.1, joined_s=12.5),
        said("c", ".", clock={"offset_ms": 1.0, "uncertainty_ms": 8.0}),
        *(said(name, ".", clock={"offset_ms": 1.0, "uncertainty_ms": 5.5}) for name in "def"),
        said("g", ".", clock=None),
    ]
    assert list(findings(account(workers, table(**dict.fromkeys("abcdefg", ".")), None))) == [
        (
            "suspect",
            (
                "workers a, b said nothing for 6.2 s at worst, frozen or cut off: meanwhile the load may not have been the one "
                "asked for"
            ),
        ),
        (
            "suspect",
            "worker b joined late, 12.5 s after load began: users were spread anew, and the load was not steady meanwhile",
        ),
        (
            "suspect",
            (
                "workers c, d, e and 1 more: clock known to 8.0 ms at worst: windows and levels are only so sharp; durations "
                "are not touched"
            ),
        ),
        (
            "suspect",
            (
                "worker g: clock never compared with the master's: windows and levels are only as sharp as these agree; "
                "durations are not touched"
            ),
        ),
    ]


@pytest.mark.parametrize(
    "workers",
    [
        [said("a", ".", clock={"offset_ms": 50.0, "uncertainty_ms": 40.0})],  # one clock agrees with itself
        [said("local", ".", clock=None)],
        [said("a", ".", longest_silence_s=3.0, joined_s=1.0), said("b", ".", clock={"offset_ms": 0, "uncertainty_ms": 5.0})],
        [said("a", "."), said("b", "", clock=None)],  # nothing of b's has a time
    ],
)  # fmt: skip
def test_what_is_within_bounds_is_no_doubt(workers):
    """The limits themselves are in."""
    rows = {one["name"]: "." * one["totals"]["offered"] for one in workers}
    assert list(findings(account(workers, table(**rows), None))) == []


def test_a_lost_workers_silence_is_not_said_twice():
    """It is among what is missing."""
    found = account([said("a", "."), lost("b", ".", longest_silence_s=30.0)], table(a=".", b="."), None)
    assert list(findings(found)) == []


def test_what_is_missing_is_said_with_when_how_many_where_and_how_to_get_it():
    """One line a worker, with a command that can be typed."""
    workers = [
        said("ok", "..."),
        lost("hostA-0", "...", last_heard_s=61.24, journal={"verified": False, "place": "hostA:/x y/j.jsonl", "file": None}),
        lost("hostB-1", "...", journal={"verified": False, "place": "", "file": "journal-hostB-1.jsonl"}),
        lost("hostC-2", "", last_heard_s=None, journal=None),
        said("hostD-3", "..", state="left", last_heard_s=30.0),
        said("hostE-4", "..", journal={"verified": False, "place": "/shared/j.jsonl", "file": None}),
        said("hostF-5", "..", signed=False),
        said("hostG-6", "..", totals=totals("..", dropped=1_200)),
    ]  # fmt: skip
    assert missing(workers, run="results/night") == [
        (
            "worker hostA-0 was lost, last heard of 61.2 s after load began; at least 3 of its requests unaccounted for when the "
            "run ended; its journal lies at hostA:/x y/j.jsonl: `tokenswarm collect results/night '/x y/j.jsonl'` merges it, "
            "once it is on this machine"
        ),
        "worker hostB-1 was lost, last heard of 61.2 s after load began; its journal is in the results as far as it was written",
        "worker hostC-2 was lost; where its journal lies is not known",
        "worker hostD-3 left 30.0 s after load began, stopped on its own side",
        (
            "worker hostE-4: its journal is not known to be whole; 2 of its requests unaccounted for when the run ended; its "
            "journal lies at /shared/j.jsonl: `tokenswarm collect results/night /shared/j.jsonl` merges it"
        ),
        "worker hostF-5: its last word did not arrive whole",
        "worker hostG-6: its disk refused 1,200 lines of its journal, which are lost",
    ]


def test_with_an_audit_the_numbers_are_the_audits():
    """What the merged journal holds is not unaccounted for, and what it lacks is."""
    workers = [lost("a", "...", journal={"verified": False, "place": "", "file": "journal-a.jsonl"})]
    [line] = missing(workers, account(workers, table(a=".."), None))
    assert "; at least 1 of its requests unaccounted for" in line
    [line] = missing(workers, account(workers, table(a="...."), None))
    assert "unaccounted" not in line


def test_reasons_are_one_printable_line_whatever_a_host_is_called():
    """Names and places come from other machines; a command quotes them."""
    evil = "a\n\x1b[31m'; rm -rf ~ #"
    journal = {"verified": False, "place": f"h:/{evil}", "file": None}
    lines = missing(
        [lost(evil, ".", journal=journal), said(evil, ".", totals=totals(".", dropped=1))], run=evil
    )
    found = account([said(evil, "..")], table(**{evil: "."}), None)
    for text in [*lines, *(reason for _, reason in findings(found))]:
        assert text.isprintable()
    assert "'\"'\"'; rm -rf ~ #'" in lines[0]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 10**30), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["offered", "sent", "succeeded", "failed", "cancelled", "offset_ms", "verified", "place"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.sampled_from(list(said("a")))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.dictionaries(FIELDS, JSON | st.sampled_from(["a", "lost", "left"])), max_size=3),
    st.text(".xocr", max_size=6),
    st.none() | st.integers(0, 9),
)
def test_no_statement_upsets_it(statements, letters, planned):
    """Whatever it says: the books are kept, identities hold, and what is there is JSON."""
    found = account(statements, table(a=letters), planned)
    for one in [found, *found["workers"]]:
        ended = one["succeeded"] + sum(one["failed"].values()) + one["cancelled"]
        assert one["offered"] == ended + one["unaccounted"]
        assert ended == one["rows"]
        assert one["unaccounted"] >= 0
    assert found["rows"] == len(letters)
    if planned is not None and planned >= found["offered"]:
        assert found["offered"] + found["unsent"] == planned
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert all(status in {"suspect", "invalid"} for status, _ in findings(found))
    assert found["reconciles"] or any(status == "invalid" for status, _ in findings(found))
    assert all(line.isprintable() for line in missing(statements, found))


RUNS = st.dictionaries(st.sampled_from("abcd"), st.text(".xocr", max_size=12), min_size=1)


@settings(deadline=None, max_examples=100)
@given(RUNS, st.data())
def test_whatever_happened_truthful_books_balance_and_one_row_off_does_not(run, data):
    """A row that is lost, doubled or changed in its outcome is found, with its worker."""
    statements, rows = [said(name, letters) for name, letters in run.items()], table(**run)
    found = account(statements, rows, len(rows))
    assert found["reconciles"]
    assert (found["offered"], found["unsent"], found["unaccounted"]) == (len(rows), 0, 0)
    assert found["sent"] == int(rows["sent_ns"].notna().sum())
    if not len(rows):
        return
    at = data.draw(st.integers(0, len(rows) - 1))
    kept = np.arange(len(rows))
    wrong = data.draw(
        st.sampled_from(
            [
                rows.drop(at),
                rows.loc[[*kept, at]],
                rows.assign(outcome=rows["outcome"].where(kept != at, "cancelled")),
                rows.assign(sent_ns=rows["sent_ns"].where(kept != at)),
                rows.assign(worker=rows["worker"].where(kept != at, "z")),
            ]
        )
    )
    told = account(statements, wrong, None)
    same = (
        wrong["outcome"].equals(rows["outcome"])
        and wrong["sent_ns"].equals(rows["sent_ns"])
        and wrong["worker"].equals(rows["worker"])
    )
    assert told["reconciles"] == same
    assert same or f"worker {rows['worker'][at]} does not reconcile" in " ".join(r for _, r in findings(told))


def test_every_field_is_documented():
    """docs/metrics.md names each, of the run and of a worker, and no other."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = text[text.index("\n## Audit\n") :].split("\n## ", 2)[1]
    named = re.findall(
        r"`([a-z_]+)`", "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    )
    found = account([said("a", ".")], table(a="."), 1)
    assert set(named) == {*found, *found["workers"][0]}
