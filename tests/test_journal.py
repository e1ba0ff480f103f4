"""The journal: what is written comes back, and nothing the disk or a crash does is fatal."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import record

from harness.errors import ConfigError, ErrorClass
from harness.journal import Journal, Window, pack, read, unpack
from harness.record import STAMPS, Outcome, Phase, RequestRecord, StampSource, TokenSource

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COUNTS = st.integers(0, 2**40)
STAMP = st.integers(0, 2**61)
MS = st.floats(0, 1e9)
RECORDS = st.builds(
    RequestRecord,
    request_id=WORDS,
    name=WORDS,
    worker=WORDS,
    level=COUNTS,
    repeat=COUNTS,
    phase=st.sampled_from(Phase),
    outcome=st.sampled_from(Outcome),
    scheduled_ns=STAMP,
    end_ns=STAMP,
    chunk_gaps_us=st.lists(MS, max_size=5).map(tuple),
    chunks=COUNTS,
    stamp_source=st.sampled_from(StampSource),
    streamed=st.booleans(),
    reconnects=COUNTS,
    token_source=st.none() | st.sampled_from(TokenSource),
    error_class=st.none() | st.sampled_from(ErrorClass),
    **{name: st.none() | STAMP for name in STAMPS if name not in {"scheduled_ns", "end_ns"}},
    **{
        f.name: st.none() | {"int | None": COUNTS, "float | None": MS, "str | None": WORDS}[str(f.type)]
        for f in fields(RequestRecord)
        if str(f.type) in {"int | None", "float | None", "str | None"} and f.name not in STAMPS
    },
)


@settings(deadline=None)  # a noisy machine is no failure
@given(made=st.lists(RECORDS, max_size=4), anchor=st.integers(0, 2**61))
def test_records_survive_the_file_exactly(tmp_path_factory, made, anchor):
    """Every field comes back as it was, stamps shifted by the anchor, text dropped once it is counted."""
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    with Journal(path) as journal:
        for one in made:
            journal.append("record", pack(one, anchor))
    back = [unpack(value) for kind, value in read(path) if kind == "record"]
    shifted = [
        replace(
            one,
            **{s: getattr(one, s) + anchor for s in STAMPS if getattr(one, s) is not None},
            text=one.text if one.output_tokens is None else None,
        )
        for one in made
    ]
    assert back == shifted
    assert [type(one.phase) for one in back] == [Phase] * len(made)


def test_defaults_are_left_out_and_unknown_keys_ignored():
    """A line holds what differs from the defaults; a newer writer's extra key does no harm."""
    packed = pack(record(), 0)
    assert sorted(packed) == sorted(
        [
            "request_id",
            "name",
            "worker",
            "level",
            "repeat",
            "phase",
            "outcome",
            "scheduled_ns",
            "sent_ns",
            "end_ns",
        ]
    )
    assert unpack({**packed, "invented_later": 1}) == record()


def test_what_is_not_a_record_is_refused_by_name():
    """A missing field and an unknown word are ValueErrors that name them."""
    packed = pack(record(), 0)
    with pytest.raises(ValueError, match="worker missing"):
        unpack({name: value for name, value in packed.items() if name != "worker"})
    with pytest.raises(ValueError, match="asleep"):
        unpack({**packed, "outcome": "asleep"})


def test_a_torn_last_line_is_counted_and_passed_over(tmp_path):
    """Cutting the file anywhere in its last line loses that line and no other."""
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for n in range(3):
            journal.append("event", {"time_ns": n, "what": "x"})
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in range(2, len(last)):
        path.write_bytes(whole[:-cut])
        reading = read(path)
        assert [value["time_ns"] for _, value in reading] == [0, 1]
        assert reading.garbled == 1
    path.write_bytes(whole[:-1])  # only the newline is missing: nothing is lost
    assert [value["time_ns"] for _, value in read(path)] == [0, 1, 2]


def test_appending_after_a_crash_does_not_lose_the_first_new_line(tmp_path):
    """A journal that ends in half a line is mended before anything is added."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"kind":"event","time_ns":1}\n{"kind":"eve')
    with Journal(path) as journal:
        journal.append("event", {"time_ns": 2})
    reading = read(path)
    assert [value["time_ns"] for _, value in reading] == [1, 2]
    assert reading.garbled == 1


@pytest.mark.parametrize("line", [b"\0\0\0\n", b"[1]\n", b"7\n", b"{}\n", b"null\n", b"\xff\n"])
def test_foreign_lines_are_counted_and_passed_over(tmp_path, line):
    """Zeroed blocks and JSON that is not ours do not stop a reading."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line + b'{"kind":"event","time_ns":1}\n')
    reading = read(path)
    assert list(reading) == [("event", {"time_ns": 1})]
    assert reading.garbled == 1


def test_a_full_disk_keeps_lines_in_memory_and_says_so():
    """No line is lost or raised over: they wait in memory, and the problem names the disk's reason."""
    journal = Journal(Path("/dev/full"))
    journal.append("event", {"time_ns": 1})
    journal.append("event", {"time_ns": 2})
    assert journal.problem == "/dev/full: No space left on device; 2 lines kept in memory, 0 dropped"
    assert journal.kept == b'{"kind":"event","time_ns":1}\n{"kind":"event","time_ns":2}\n'
    journal.close()
    assert journal.dropped == 0


def test_memory_is_bounded_and_the_loss_counted():
    """Beyond the bound the newest lines are dropped, and how many is known."""
    line = b'{"kind":"event","time_ns":0}\n'
    journal = Journal(Path("/dev/full"), memory_bytes=3 * len(line))
    for n in range(8):
        journal.append("event", {"time_ns": n})
    assert journal.dropped == 5
    assert len(journal.kept) == 3 * len(line)
    assert journal.problem is not None
    assert journal.problem.endswith("3 lines kept in memory, 5 dropped")
    journal.close()


def test_a_file_size_limit_in_mid_line_loses_nothing(tmp_path):
    """A line cut short by the disk is completed from memory: file and rest read as one journal."""
    script = """
import resource, signal, sys
from pathlib import Path
from harness.journal import Journal, read
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 200_000))
path = Path(sys.argv[1])
journal = Journal(path)
for n in range(10):
    journal.append("event", {"time_ns": n})
assert path.stat().st_size == 100, path.stat()
reading = read(path, journal.kept)
assert [v["time_ns"] for _, v in reading] == list(range(10)) and reading.garbled == 0
assert "File too large" in journal.problem
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
journal.append("event", {"time_ns": 10})
assert journal.problem is None and journal.kept == b""
journal.close()
assert [v["time_ns"] for _, v in read(path)] == list(range(11))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "j")], check=True)


def test_text_that_json_cannot_hold_is_replaced_not_fatal(tmp_path):
    """A lone surrogate becomes U+FFFD, a pair its character, an oversized integer null."""
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append("record", pack(record(text="a\ud800b \ud83d\ude00", cached_tokens=2**70), 0))
    [(_, value)] = read(path)
    assert unpack(value) == record(text="a\ufffdb \N{GRINNING FACE}")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    """Opening reports the path, the reason and what to do."""
    with pytest.raises(
        ConfigError, match=r"nowhere/j: cannot write the journal: No such file .*--results-dir"
    ):
        Journal(tmp_path / "nowhere" / "j")


def test_appending_after_close_stays_in_memory(tmp_path):
    """A late record is kept and reported rather than lost or raised over."""
    journal = Journal(tmp_path / "j")
    journal.close()
    journal.append("event", {"time_ns": 1})
    assert journal.kept == b'{"kind":"event","time_ns":1}\n'
    assert journal.problem == f"{tmp_path / 'j'}: closed; 1 lines kept in memory, 0 dropped"


def test_the_journal_does_not_load_pandas():
    """A load process pays for neither pandas nor pyarrow nor numpy, results included."""
    script = "import sys, harness.journal, harness.results; print([m for m in ('pandas','pyarrow','numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_window_has_a_length_in_seconds():
    """End minus start; a window that never opened has none."""
    assert Window(1, 1, 5_000_000_000, 7_500_000_000).seconds == 2.5
    assert Window(1, 1, 5, 4).seconds == 0


def test_a_line_in_the_making_is_no_problem(tmp_path: Path) -> None:
    """The thread that writes keeps a line until the disk has it; who looks meanwhile must not be alarmed."""
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal._keep(b"{}\n")
        assert journal.problem is None
        journal._flush()
        assert journal.problem is None
    journal.append("event", {"time_ns": 1, "what": "late"})
    assert journal.problem == f"{tmp_path / 'journal.jsonl'}: closed; 1 lines kept in memory, 0 dropped"
