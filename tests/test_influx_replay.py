"""`tokenswarm replay`: a run's points made again from its directory, against other code, and read back from a real InfluxDB."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from influx_fake import Fake, hangs
from influx_servers import Influx, open_influx
from locust_runs import until
from synthetic_run import BASE_NS, record, run
from test_merge import clock, journal, of_records
from test_results import finished

from harness import loadpoint, rows
from harness.cli import main
from harness.influx import intervals, redelivery
from harness.influx.bins import Bins
from harness.influx.course import Course
from harness.influx.rereading import Lines, Reread
from harness.influx.schema import MEASUREMENTS, QUANTILES
from harness.journal import Window, pack
from harness.loadpoint import LoadPoint
from harness.record import Outcome, RequestRecord
from harness.results import RunDirectory
from harness.seconds import Second
from harness.windows import Streams

S = 1_000_000_000
PER_LEVEL = 150
OFFSETS = {"w1": 0, "w2": 3 * S + 123_456_789}
SETTINGS = {
    "model": "m, 1=2", "backend": "openai", "levels": [1, 2, 4], "repeats": 2, "requests_per_level": PER_LEVEL, "labels": {"hardware": "A10"},
}  # fmt: skip
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]+)(?:,|$)')


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two workers, the second with its clock 3 s ahead; failures, cancelled and unstreamed ones among them."""
    return made(tmp_path_factory.mktemp("run"))


def made(place: Path, per_level: int = PER_LEVEL, **settings_: object) -> Path:
    """The directory of a finished run; every second record is the second worker's, whose journal has its own times."""
    records, windows = run(per_level=per_level)
    directory = RunDirectory.create(place / "results", "run 1", SETTINGS | settings_)
    for number, (worker, ahead_ns) in enumerate(OFFSETS.items()):
        own = [moved(replace(one, worker=worker), ahead_ns) for one in records[number::2]]
        second = Second(time_ns=BASE_NS + S + ahead_ns, worker=worker, seconds=1.0, cpu_percent=30.0)
        journal(
            directory.path / f"journal-{worker}.jsonl",
            ("worker", {"name": worker, "host": "h", "pid": 1, "run_id": "run 1"}),
            *([clock(BASE_NS, ahead_ns)] if ahead_ns else []),
            ("health", asdict(second)),
            *of_records(*own),
        )
    for window in windows:
        directory.journal.append("window", asdict(window))
    for event in (
        {"time_ns": BASE_NS, "what": "load begins", "topic": "start", "level": None},
        {"time_ns": BASE_NS + 5, "what": "level 2 begins", "topic": "level", "level": 2},
    ):
        directory.journal.append("event", event)
    sample = {"time_ns": BASE_NS + 7, "problem": "", "system": "vLLM", "queued": 3.0, "kv_cache_usage": 0.25}
    directory.journal.append("server", sample)
    statement = {
        "host": "h", "state": "ended", "joined_s": 0.0, "last_heard_s": 9.0, "longest_silence_s": 1.0, "clock": None,
        "totals": {"offered": 1, "sent": 1, "succeeded": 1, "failed": {}, "cancelled": 0, "dropped": 0},
        "signed": False, "journal": None, "events": [],
    }  # fmt: skip
    finished(directory, workers=[{"name": worker, **statement} for worker in OFFSETS])
    return directory.path


def moved(one: RequestRecord, by_ns: int) -> RequestRecord:
    """The same on a clock that is ahead."""
    value = pack(one, by_ns)
    stamps = {name: value[name] for name in value if name.endswith("_ns")}
    return replace(one, **stamps)


def read(lines: Mapping[str, list[bytes]], name: str) -> list[dict[str, Any]]:
    """The lines of a measurement as rows, by a reading of the test's own."""
    return [_row(line.decode()) for line in lines[name]]


def _row(line: str) -> dict[str, Any]:
    head, rest = re.split(r"(?<!\\) ", line, maxsplit=1)
    body, time_ns = rest.rsplit(" ", 1)
    tags = dict(part.split("=", 1) for part in re.split(r"(?<!\\),", head)[1:])
    row: dict[str, Any] = {name: re.sub(r"\\([,= ])", r"\1", value) for name, value in tags.items()}
    for name, text in _FIELD.findall(body):
        row[name] = text[1:-1] if text[0] == '"' else int(text[:-1]) if text[-1] == "i" else float(text)
    return row | {"time": int(time_ns)}


def all_lines(directory: Path) -> dict[str, list[bytes]]:
    """Everything that a replay makes."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for name, some in Reread(directory).lines():
        found[name] += some
    return dict(found)


@pytest.fixture(scope="module")
def influx() -> Iterator[Influx]:
    """A real one."""
    with open_influx() as opened:
        yield opened


@pytest.fixture(scope="module")
def lines(directory: Path) -> dict[str, list[bytes]]:
    """The lines of the run."""
    return all_lines(directory)


@pytest.fixture(scope="module")
def table(directory: Path) -> pd.DataFrame:
    """Its requests."""
    return rows.load(directory / "requests.parquet")


def arrivals(table: pd.DataFrame) -> Iterator[tuple[str, int, float]]:
    """(worker, when, tokens) of every content event, one by one, in whole numbers."""
    for row in table.to_dict("records"):
        tokens = row["output_tokens"]
        if pd.isna(tokens):
            continue
        end = row["end_ns"] if pd.isna(row["last_content_ns"]) else row["last_content_ns"]
        if not row["streamed"] or pd.isna(row["first_content_ns"]):
            yield row["worker"], int(end), float(tokens)
            continue
        at = int(row["first_content_ns"])
        gaps = [round(gap * 1e3) for gap in row["chunk_gaps_us"]]
        for gap in (0, *gaps):
            at += gap
            yield row["worker"], at, float(tokens) / (len(gaps) + 1)


def test_everything_but_the_writers_own_health_is_made(lines: dict[str, list[bytes]]) -> None:
    """Each measurement that the run has something of; no two points of one time and the same tags."""
    assert set(lines) == set(MEASUREMENTS) - {"llm_writer"}
    for name in lines:
        made_ = [tuple(row[key] for key in ("time", *MEASUREMENTS[name].tags)) for row in read(lines, name)]
        assert len(set(made_)) == len(made_), name
        assert {row["run"] for row in read(lines, name)} == {"run 1"}


def test_tokens_of_every_second_are_those_that_came_in_it(
    lines: dict[str, list[bytes]], table: pd.DataFrame
) -> None:
    """Event by event: each second of each worker, and the sum over all of them is the table's."""
    expected: Counter[tuple[str, int]] = Counter()
    for worker, at, tokens in arrivals(table):
        expected[worker, at // S] += tokens  # type: ignore[assignment]  # a Counter of floats
    seconds = read(lines, "llm_second")
    found = {(row["worker"], row["time"] // S): row["output_tokens"] for row in seconds}
    assert {key: value for key, value in found.items() if value} == pytest.approx(
        {key: value for key, value in expected.items() if value}
    )
    assert sum(found.values()) == pytest.approx(float(table["output_tokens"].sum()), rel=1e-12)
    assert sum(row["prompt_tokens"] for row in seconds) == float(table["prompt_tokens"].sum())
    assert {row["output_tokens_correction"] for row in seconds} == {0.0}


def test_seconds_agree_with_the_windows(lines: dict[str, list[bytes]], table: pd.DataFrame) -> None:
    """What arrived between two whole seconds is what `harness.windows` finds in that window, which the system rates are made of."""
    seconds = read(lines, "llm_second")
    begin = int(table["scheduled_ns"].min()) // S + 1
    streams = Streams.of(table)
    for first, last in ((begin, begin + 1), (begin + 2, begin + 9), (begin - 5, begin + 3600)):
        arrived = streams.arrived(Window(1, 1, first * S, last * S))
        inside = [row for row in seconds if first * S <= row["time"] < last * S]
        assert sum(row["output_tokens"] for row in inside) == pytest.approx(arrived.output_tokens)


def test_requests_of_every_second_are_counted(lines: dict[str, list[bytes]], table: pd.DataFrame) -> None:
    """Due, sent and ended where they were; in flight and waiting at its end, row by row."""
    both = table.to_dict("records")
    for row in read(lines, "llm_second"):
        own = [one for one in both if one["worker"] == row["worker"]]
        begin, end = row["time"], row["time"] + S
        went = {id(one): one["sent_ns"] for one in own if not pd.isna(one["sent_ns"])}
        assert row["scheduled"] == sum(begin <= one["scheduled_ns"] < end for one in own)
        assert row["sent"] == sum(begin <= sent < end for sent in went.values())
        ended = Counter(one["outcome"] for one in own if begin <= one["end_ns"] < end)
        assert (row["succeeded"], row["failed"], row["cancelled"]) == (
            ended["ok"], ended["failed"], ended["cancelled"],
        )  # fmt: skip
        flying = [one for one in own if one["scheduled_ns"] < end <= one["end_ns"]]
        assert row["in_flight"] == len(flying)
        assert row["waiting"] == sum(went.get(id(one), end) >= end for one in flying)
        assert "good" not in row


def test_every_second_is_there_two_more_at_each_end(
    lines: dict[str, list[bytes]], table: pd.DataFrame
) -> None:
    """Nothing that was written live, a second off perhaps, stays beside what is written now."""
    found = defaultdict(list)
    for row in read(lines, "llm_second"):
        found[row["worker"]].append(row["time"] // S)
    for worker, own in table.groupby("worker"):
        first, last = int(own["scheduled_ns"].min()) // S, int(own["end_ns"].max()) // S
        assert found[str(worker)] == list(range(first - 2, last + 3))


def test_errors_by_class(lines: dict[str, list[bytes]], table: pd.DataFrame) -> None:
    """Each second, worker and class of which there was one, and no others."""
    failed = table[table["error_class"].notna()]
    expected = Counter(zip(failed["worker"], failed["end_ns"] // S * S, failed["error_class"], strict=True))
    found = {
        (row["worker"], row["time"], row["error_class"]): row["requests"] for row in read(lines, "llm_error")
    }
    assert found == expected
    assert len({word for *_, word in found}) == 3, "the synthetic run has lost its failures"


def test_requests_end_on_their_workers_own_clock(lines: dict[str, list[bytes]]) -> None:
    """As they were written live: from the worker's own stamps, in journal order, strictly increasing; seq has no gap."""
    records = run(per_level=PER_LEVEL)[0]
    found = read(lines, "llm_request")
    for number, (worker, ahead_ns) in enumerate(OFFSETS.items()):
        last, expected = -1, []
        for one in records[number::2]:
            last = max(one.end_ns + ahead_ns, last + 1)
            expected.append((one.request_id, last, one.outcome.value))
        own = [row for row in found if row["worker"] == worker]
        assert [(row["request_id"], row["time"], row["outcome"]) for row in own] == expected
        assert [row["seq"] for row in own] == list(range(1, len(own) + 1))


def test_requests_are_their_rows(lines: dict[str, list[bytes]], table: pd.DataFrame) -> None:
    """Value for value; what was not measured is left out."""
    stored = {str(row["request_id"]): row for row in table.to_dict("records")}
    for row in read(lines, "llm_request"):
        own = stored[row["request_id"]]
        for name in set(MEASUREMENTS["llm_request"].fields) - {"seq", "late_send_ms"}:
            value = own[name]
            assert row.get(name) == (None if pd.isna(value) else value), name
        sent = own["sent_ns"]
        late = None if pd.isna(sent) else (sent - own["scheduled_ns"]) / 1e6
        assert row.get("late_send_ms") == late


def test_percentiles_are_those_of_all_requests_of_an_interval(
    lines: dict[str, list[bytes]], table: pd.DataFrame
) -> None:
    """Both workers' together, on the run's clock; intervals without a request are written too."""
    good = table[(table["outcome"] == "ok") & (table["phase"] == "measure")]
    cells = good["end_ns"] // (3 * S)
    found = {row["time"]: row for row in read(lines, "llm_percentiles")}
    assert list(found) == [cell * 3 * S for cell in range(cells.min() - 1, cells.max() + 2)]
    assert len(found) > 5
    for time, row in found.items():
        own = good[cells == time // (3 * S)]
        assert row["requests"] == len(own)
        assert row.get("level") == (int(own.sort_values("end_ns")["level"].iloc[-1]) if len(own) else None)
        for figure, quantiles in QUANTILES.items():
            values = own[figure].dropna().to_numpy(dtype=float)
            for quantile in quantiles:
                expected = np.percentile(values, int(quantile[1:])) if len(values) else None
                assert row.get(f"{figure}_{quantile}") == pytest.approx(expected)


@pytest.mark.parametrize(("held", "stored"), [(1, 10**6), (40, 7), (10**9, 7)])
def test_points_do_not_depend_on_how_the_table_is_read(  # noqa: PLR0917  fixtures
    directory: Path,
    lines: dict[str, list[bytes]],
    held: int,
    stored: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interval at a time, some, or all at once; from stored groups of a few rows, some passed over, as from one."""
    copy = tmp_path / "run"
    shutil.copytree(directory, copy)
    pq.write_table(pq.read_table(copy / "requests.parquet"), copy / "requests.parquet", row_group_size=stored)
    monkeypatch.setattr(intervals, "HELD", held)
    again = all_lines(copy)
    assert again.keys() == lines.keys()
    for name in again.keys() - {"llm_second"}:  # whose sums are rounded in another order
        assert again[name] == lines[name]


def test_the_course_of_a_sweep(lines: dict[str, list[bytes]], table: pd.DataFrame) -> None:
    """From the event that says load begins: levels in the order they were held, steps counted over the passes, done in the end."""
    found = read(lines, "llm_load")
    last = int(table["end_ns"].max()) // S
    assert [row["time"] for row in found] == [second * S for second in range(BASE_NS // S, last + 1)]
    assert [row["t_s"] for row in found] == [float(n) for n in range(len(found))]
    steps = [row["step"] for row in found]
    assert steps == sorted(steps)
    assert set(steps) == set(range(1, 7))
    assert {(row["step"], row["level"]) for row in found} == set(zip(range(1, 7), [1, 2, 4] * 2, strict=True))
    assert {(row["steps"], row["workers"], row["workers_missing"]) for row in found} == {(6, 2, 0)}
    assert found[-1]["done_percent"] == 100.0
    for row in found:
        repeat = 1 if row["step"] <= 3 else 2
        step = table[
            (table["level"] == row["level"]) & (table["repeat"] == repeat) & (table["phase"] == "measure")
        ]
        assert row["done_percent"] == pytest.approx(
            100 * (step["end_ns"] < row["time"] + S).sum() / PER_LEVEL
        )


def test_the_course_of_an_open_loop(tmp_path: Path) -> None:
    """Levels by their numbers with the rates they held; what was due and not sent at a second's end is its backlog."""
    records = [
        record(str(n), level=n // 4 + 1, scheduled_ns=due, sent_ns=sent, end_ns=end)
        for n, (due, sent, end) in enumerate(
            (
                BASE_NS + due * S // 10,
                None if sent is None else BASE_NS + sent * S // 10,
                BASE_NS + end * S // 10,
            )
            # At the cap from 0.5 s on: one goes at once, two at 1.2 and 2.2 s, one is given up at 3.5 s without.
            for due, sent, end in (
                *((1, 1, 12), (5, 12, 22), (8, 22, 33), (9, None, 35)),
                *((40, 40, 41), (41, 41, 42), (42, 42, 43), (59, 61, 62)),
            )
        )
    ]
    path = tmp_path / "t"
    rows.write(path, records)
    course = Course()
    for part in rows.groups(path):
        course.add(part)
    points = [LoadPoint(key=key, users=0, kind="rate", rate=2.5 * key, value=2.5 * key) for key in (1, 2)]
    told: dict[str, Any] = {
        "events": [{"time_ns": BASE_NS, "what": "load begins", "topic": "start"}],
        "points": loadpoint.stored(points),
        "settings": {"arrivals": "poisson", "rates": [2.5, 5.0], "seconds_per_level": 4.0},
        "workers": [],
    }
    found = [values for _, values, _ in course.points(told)]
    assert [values["backlog"] for values in found] == [3, 2, 1, 0, 0, 1, 0]
    assert [(values["level"], values["value"]) for values in found] == [(1, 2.5)] * 4 + [(2, 5.0)] * 3
    assert {(values["step"], values["steps"], values["done_percent"]) for values in found} == {
        (1, 2, None),
        (2, 2, None),
    }


def test_a_timed_runs_level_ends_with_its_window(tmp_path: Path) -> None:
    """Load is stopped then; users that come up are at no level; there are no steps to count, and a lost worker is missing."""
    course = Course()
    records = run(levels=(4,), per_level=400, repeats=1)[0]
    path = tmp_path / "t"
    rows.write(path, [replace(one, level=0) if n < 150 else one for n, one in enumerate(records)])
    for part in rows.groups(path):
        course.add(part)
    end = records[250].end_ns
    worker: dict[str, Any] = {"joined_s": 0.0, "last_heard_s": 0.5, "state": "lost"}
    told: dict[str, Any] = {
        "windows": [{"level": 4, "repeat": 1, "start_ns": BASE_NS, "end_ns": end}],
        "workers": [{"joined_s": 0.0, "last_heard_s": 9.0, "state": "ended"}, worker],
    }
    found = list(course.points(told))
    due = [(one.scheduled_ns, 0 if n < 150 else 4) for n, one in enumerate(records)]
    for time_ns, values, _ in found:
        before = [level for at, level in sorted(due) if at < time_ns + S]
        assert values["level"] == (0 if time_ns // S > end // S else before[-1])
        assert (values.get("steps"), values.get("done_percent")) == (None, None)
        assert (values["workers"], values["workers_missing"]) == (1, 1)
    assert {values["level"] for _, values, _ in found} == {0, 4}


def test_good_requests_are_counted_where_there_are_service_levels(tmp_path: Path) -> None:
    """Those that meet all of them, in the second they ended in."""
    path = made(tmp_path, slo=["ttft_p95<30ms", "error_rate<50%"])
    table = rows.load(path / "requests.parquet")
    good = table[(table["outcome"] == "ok") & (table["ttft_ms"] < 30)]
    found = read(all_lines(path), "llm_second")
    assert 0 < len(good) < (table["outcome"] == "ok").sum()
    expected = Counter(zip(good["worker"], good["end_ns"] // S * S, strict=True))
    assert {(row["worker"], row["time"]): row["good"] for row in found if row["good"]} == expected


@settings(max_examples=30)
@given(
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 200), max_size=6),
    far=st.integers(0, 5_000),
)
def test_neither_order_nor_portions_change_the_seconds(order: Any, cuts: list[int], far: int) -> None:
    """Rows of one or several workers, together or apart, near or hours from the last."""
    records = [
        replace(moved(one, (n % 3) * far * S), worker=f"w{n % 3}")
        for n, one in enumerate(run(per_level=9)[0])
    ]
    whole = Bins()
    whole.add(rows.of_rows([one.row(0) for one in records]))
    order.shuffle(records)
    parted = Bins()
    edges = [0, *sorted({cut % len(records) for cut in cuts} - {0}), len(records)]
    for begin, end in pairwise(edges):
        parted.add(rows.of_rows([one.row(0) for one in records[begin:end]]))
    for one, other in zip(whole.points(), parted.points(), strict=True):
        assert (one.time_ns, one.tags) == (other.time_ns, other.tags)
        assert one[1] == pytest.approx(other[1])
    assert list(whole.errors()) == list(parted.errors())
    tokens = sum(float(str(values["output_tokens"])) for _, values, _ in parted.points())
    assert tokens == pytest.approx(sum(one.output_tokens or 0 for one in records))


def test_counted_tokens_without_content_are_not_lost() -> None:
    """An answer that was counted although no text came gives its tokens at its end, so that sums stay those of the table."""
    odd = replace(
        run(per_level=1)[0][0], first_content_ns=None, last_content_ns=None, chunk_gaps_us=(), output_tokens=5
    )
    found = Bins()
    found.add(
        rows.of_rows([replace(odd, streamed=True, end_ns=BASE_NS + 9 * S, outcome=Outcome.FAILED).row(0)])
    )
    assert {at: values["output_tokens"] for at, values, _ in found.points() if values["output_tokens"]} == {
        BASE_NS + 9 * S: 5.0
    }


def test_the_second_in_the_directory_and_the_look_at_the_server(lines: dict[str, list[bytes]]) -> None:
    """Each where it was written live: the second on its worker's own clock."""
    assert {row["worker"]: row["time"] for row in read(lines, "llm_client")} == {
        worker: BASE_NS + S + ahead_ns for worker, ahead_ns in OFFSETS.items()
    }
    (look,) = read(lines, "llm_server")
    assert (look["time"], look["queued"], look["kv_cache_usage_percent"]) == (BASE_NS + 7, 3.0, 25.0)
    assert [(row["kind"], row["title"], row.get("level")) for row in read(lines, "llm_event")] == [
        ("start", "load begins", None),
        ("level", "level 2 begins", 2),
    ]


def test_replayed_into_influxdb(
    directory: Path,
    table: pd.DataFrame,
    influx: Influx,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counts and sums read back are the table's; again, and nothing has changed; spool files of the run are gone then."""
    bucket = influx.new_bucket()
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    (directory / "metrics-w1.spool").write_bytes(b"x")
    seen = []
    for _ in range(2):
        assert main(["replay", str(directory), "--to-influx"]) == 0
        out, err = capsys.readouterr()
        assert re.fullmatch(rf"[\d,]+ points delivered to {bucket.url}, bucket {bucket.bucket}\n", out)
        assert "to InfluxDB" in err or influx.kind == "shim"
        counts = {name: bucket.query(f'SELECT * FROM "{name}"') for name in MEASUREMENTS}
        seen.append({name: sorted(found, key=repr) for name, found in counts.items()})
    assert seen[0] == seen[1]
    assert {name: len(found) for name, found in seen[0].items()} == {
        name: len(some) for name, some in all_lines(directory).items()
    } | {"llm_writer": 0}
    ((tokens,), (number,)) = (
        [row["sum"] for row in bucket.query('SELECT SUM("output_tokens") FROM "llm_second"')],
        [row["count"] for row in bucket.query('SELECT COUNT("seq") FROM "llm_request"')],
    )
    assert tokens == pytest.approx(float(table["output_tokens"].sum()), rel=1e-12)
    assert number == len(table)
    assert {row["model"] for row in seen[0]["llm_run"]} == {"m, 1=2"}
    assert not list(directory.glob("*.spool"))


def test_a_file_for_where_no_network_reaches(
    directory: Path, lines: dict[str, list[bytes]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line protocol, gzip'd by its name; the same lines; a place that cannot be written is one line."""
    expected = sorted(line for some in lines.values() for line in some)
    for name, opened in (("run.lp", open), ("run.lp.gz", gzip.open)):
        assert main(["replay", str(directory), "--to-file", str(tmp_path / name)]) == 0
        with opened(tmp_path / name, "rb") as file:
            assert sorted(file.read().splitlines()) == expected
        assert capsys.readouterr().out == f"{len(expected):,} points written to {tmp_path / name}\n"
    assert main(["replay", str(directory), "--to-file", str(tmp_path / "no" / "where")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_a_dry_run_only_counts(
    directory: Path,
    lines: dict[str, list[bytes]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Points by measurement, with or without a place named; nobody is asked."""
    monkeypatch.delenv("INFLUXDB_URL", raising=False)
    for more in ([], ["--to-influx"]):
        assert main(["replay", str(directory), "--dry-run", *more]) == 0
        said = dict(line.split() for line in capsys.readouterr().out.splitlines())
        expected = {name: f"{len(some):,}" for name, some in lines.items()}
        assert said == expected | {"points": f"{sum(map(len, lines.values())):,}"}


@pytest.mark.parametrize(
    ("environ", "arguments", "said"),
    [
        ({}, [], "say where to: --to-influx, or --to-file FILE"),
        ({}, ["--to-influx"], "INFLUXDB_URL is not set: set it to your InfluxDB's base URL"),
        ({"INFLUXDB_URL": "http://127.0.0.1:1"}, ["--to-influx"], "http://127.0.0.1:1 cannot be reached"),
        ({"INFLUXDB_URL": "influx:8086"}, ["--to-influx"], "INFLUXDB_URL 'influx:8086'"),
    ],
)
def test_no_place_is_one_line(  # noqa: PLR0917  fixtures
    directory: Path, environ: dict[str, str], arguments: list[str], said: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Exit code 2, and what to do."""
    for name in ("INFLUXDB_URL", "INFLUXDB_TOKEN", "INFLUXDB_TOKEN_FILE", "INFLUXDB_ORG", "INFLUXDB_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["replay", str(directory), *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"tokenswarm replay: error: {said}")


def test_what_is_no_finished_run_is_one_line(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No directory of a run; a run without results; a table whose stamps are years apart."""
    assert main(["replay", str(tmp_path), "--dry-run"]) == 2
    assert "not a run directory (no run.json)" in capsys.readouterr().err
    begun = RunDirectory.create(tmp_path, "begun", {})
    assert main(["replay", str(begun.path), "--dry-run"]) == 2
    assert "no summary.json; make it with `tokenswarm report" in capsys.readouterr().err
    odd = tmp_path / "odd"
    odd.mkdir()
    for name in ("run.json", "summary.json"):
        (odd / name).write_bytes((directory / name).read_bytes())
    assert main(["replay", str(odd), "--dry-run"]) == 2
    assert "requests.parquet: missing" in capsys.readouterr().err
    rows.write(odd / "requests.parquet", [replace(run(per_level=1)[0][0], scheduled_ns=5)])
    assert main(["replay", str(odd), "--dry-run"]) == 2
    assert "days apart; the table is damaged" in capsys.readouterr().err
    told = json.loads((odd / "run.json").read_bytes())
    (odd / "run.json").write_text(json.dumps(told | {"started_at": "soon"}))
    assert main(["replay", str(odd), "--dry-run"]) == 2
    assert "run.json: started_at is 'soon', no time; restore the file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("run.json", {"settings": []}, ""),
        (
            "run.json",
            {"workers": ["vm-0"]},
            "run.json or summary.json is not as tokenswarm writes it (AttributeError: ",
        ),
        ("run.json", {"events": [{"time_ns": "noon"}]}, "is not as tokenswarm writes it (ValueError: "),
        ("summary.json", {"levels": "all"}, "is not as tokenswarm writes it ("),
        ("summary.json", {"totals": {"succeeded": "many"}}, "is not as tokenswarm writes it (TypeError: "),
        ("requests.parquet", None, "requests.parquet: not a readable Parquet file ("),
    ],
)
def test_what_somebody_has_changed_is_one_line(  # noqa: PLR0917  fixtures
    directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    change: dict[str, Any] | None,
    says: str,
) -> None:
    """A file of other contents than a run's, or one that was copied only in part: no traceback, exit 2."""
    for name in ("run.json", "summary.json", "requests.parquet"):
        whole = (directory / name).read_bytes()
        if name == file:
            whole = (
                whole[: len(whole) // 2]
                if change is None
                else json.dumps(json.loads(whole) | change).encode()
            )
        (tmp_path / name).write_bytes(whole)
    code = main(["replay", str(tmp_path), "--dry-run"])
    err = capsys.readouterr().err
    assert code == (2 if says else 0)
    assert says in err
    assert len(err.splitlines()) == bool(says)


def test_a_run_without_requests_has_a_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of itself, and nothing else."""
    directory = RunDirectory.create(tmp_path, "empty", {})
    finished(directory)
    assert main(["replay", str(directory.path), "--dry-run"]) == 0
    assert capsys.readouterr().out.split() == ["llm_run", "1", "points", "1"]


def test_a_wrong_token_is_said_before_anything_is_sent(
    directory: Path,
    influx: Influx,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2 with the variable to mend, and no part of the token."""
    for name, value in influx.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INFLUXDB_TOKEN", "canary-7c1f:canary-7c1f")
    assert main(["replay", str(directory), "--to-influx"]) == 2
    out, err = capsys.readouterr()
    assert "INFLUXDB_TOKEN" in err
    assert "canary" not in out + err
    assert len([line for line in err.splitlines() if "error" in line]) == 1


def cut_short(monkeypatch: pytest.MonkeyPatch, after: Callable[[], object]) -> None:
    """Call it once the first requests of a replay are on their way."""
    whole = Reread.lines

    def lines(self: Reread, read: Callable[[int], object] = lambda _: None) -> Iterator[Lines]:
        for name, some in whole(self, read):
            yield name, some
            if name == "llm_request":
                after()

    monkeypatch.setattr(Reread, "lines", lines)


def test_points_that_do_not_arrive_are_counted(
    directory: Path,
    lines: dict[str, list[bytes]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server goes away in the middle: exit code 5, how many are missing and how to bring them; then they are brought."""
    monkeypatch.setattr(redelivery, "PATIENCE_S", 1.0)
    monkeypatch.setattr(redelivery, "CLOSE_S", 0.5)
    with open_influx(own=True) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        control = server.control
        assert control is not None
        with monkeypatch.context() as patched:
            cut_short(patched, control.stop)
            assert main(["replay", str(directory), "--to-influx"]) == 5
        err = capsys.readouterr().err
        assert "no point was taken for 1 s; given up" in err
        made_, again = (
            f"{sum(map(len, lines.values())):,}",
            f"tokenswarm replay {quote(str(directory))} --to-influx",
        )
        assert re.search(rf"error: [\d,]+ of {made_} points were not delivered .*{re.escape(again)}", err)
        control.start()
        assert main(["replay", str(directory), "--to-influx"]) == 0
        ((count,),) = ([row["count"] for row in server.query('SELECT COUNT("seq") FROM "llm_request"')],)
        assert count == rows.count(directory / "requests.parquet")


def test_ctrl_c_is_clean(
    directory: Path,
    influx: Influx,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line and exit code 130; no half of a file stays."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    for name, value in influx.new_bucket().environ.items():
        monkeypatch.setenv(name, value)
    cut_short(monkeypatch, interrupt)
    assert main(["replay", str(directory), "--to-influx"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "tokenswarm replay: interrupted; replay it again to complete it: what is there stays as it is"
    )
    assert main(["replay", str(directory), "--to-file", str(tmp_path / "run.lp")]) == 130
    assert f"interrupted; {tmp_path / 'run.lp'} was not written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_a_server_hangs(directory: Path) -> None:
    """In a process of its own, where gevent waits for the answer: the same line at once, and nothing of Python's."""
    with Fake(always=hangs) as fake:
        fake.faults.append(lambda write: write.answer(204))  # the greeting
        command = [sys.executable, "-m", "harness", "replay", str(directory), "--to-influx"]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=os.environ | {"INFLUXDB_URL": fake.url}
        ) as process:
            until(lambda: len(fake.writes) > 1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=8)  # the server would hang for 10
    assert process.returncode == 130
    assert err.splitlines() == [
        f"tokenswarm replay: to InfluxDB 2.8.0 at {fake.url}, bucket tokenswarm",
        "tokenswarm replay: interrupted; replay it again to complete it: what is there stays as it is",
    ]


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit codes."""
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "tokenswarm replay results/20261121T101500Z-llamacpp-native-1a2b3c --to-influx" in said
    assert "Exit code: 0 all points delivered" in said
