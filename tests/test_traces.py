"""Traces: every published layout to the nanosecond, and every bad file as one line that says what to do."""

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.traces import LINE_MOST, Due, Trace, read

DATA = Path(__file__).parent / "data" / "traces"
AZURE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = b"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
MOON = b'{"timestamp": 1, "input_length": 5, "output_length": 6, "hash_ids": [0]}\n'


def dues(trace: Trace) -> list[Due]:
    """All requests of a trace."""
    return [trace.due(number) for number in range(len(trace))]


@pytest.mark.parametrize(
    ("file", "form", "expected"),
    [
        (
            "mooncake.jsonl",
            "Mooncake",
            [
                Due(0, 1030, 52, (0, 1, 2)),
                Due(0, 700, 1, (0, 3)),
                Due(275_000_000, 28, 445, (4,)),
                Due(3_001_000_000, 1536, 9, (0, 1, 5)),
            ],
        ),
        ("azure_2023.csv", "Azure LLM", [Due(0, 4811, 12), Due(20_040_000, 35, 9), Due(1_500_000_100, 374, 44)]),
        ("azure_2024.csv", "Azure LLM", [Due(0, 2161, 6), Due(750_000_000, 584, 3), Due(60_750_001_000, 862, 38)]),
        ("azure_2025.csv", "Azure LLM", [Due(0, 771, 490), Due(5_550_000_000, 948, 125)]),
        ("burstgpt_1.csv", "BurstGPT", [Due(0, 471, 19), Due(40 * 10**9, 1080, 231), Due(113 * 10**9, 416, 275)]),
        ("burstgpt_3.csv", "BurstGPT", [Due(0, 905, 447), Due(51_500_000_000, 35, 30)]),
        ("plain.csv", "plain", [Due(0, 100, None), Due(1_699_750_000_001, None, 7), Due(1_700_250_000_000, 101, 8)]),
        ("plain.jsonl", "plain", [Due(0, 12, 34), Due(500_000_000, None, None), Due(2_000_000_000, None, 1)]),
        ("times.txt", "plain", [Due(0, None, None), Due(0, None, None), Due(500_000_000, None, None), Due(2_000_000_000, None, None)]),
    ],
)  # fmt: skip
def test_each_layout_is_read_to_the_nanosecond(file: str, form: str, expected: list[Due]) -> None:
    """Times begin at 0, lengths and blocks are those of the rows; what a row does not say is None."""
    trace = read(DATA / file)
    assert trace.format == form
    assert dues(trace) == expected
    assert list(trace.offsets(7)) == [due.offset_ns for due in expected]
    assert trace.length_s == expected[-1].offset_ns / 1e9
    assert trace.describe() == f"trace:{DATA / file}"
    assert trace.left_out == (2 if file == "burstgpt_1.csv" else 0)


def test_columns_are_eight_bytes_each() -> None:
    """24 bytes a row, and blocks as values with bounds."""
    trace = read(DATA / "mooncake.jsonl")
    assert trace.offset_ns.dtype == trace.prompt_tokens.dtype == trace.output_tokens.dtype == np.int64
    assert trace.block_values.tolist() == [0, 1, 2, 0, 3, 4, 0, 1, 5]
    assert trace.block_bounds.tolist() == [0, 3, 5, 6, 9]
    plain = read(DATA / "plain.csv")
    assert plain.prompt_tokens.tolist() == [100, -1, 101]
    assert plain.block_bounds.tolist() == []


def test_speed_up_divides_times() -> None:
    """Three times as fast is a third of each offset, rounded once."""
    fast = read(DATA / "azure_2023.csv", speed_up=3)
    assert fast.offset_ns.tolist() == [0, 6_680_000, 500_000_033]
    slow = read(DATA / "azure_2023.csv", speed_up=0.5)
    assert slow.offset_ns.tolist() == [0, 40_080_000, 3_000_000_200]


@pytest.mark.parametrize("speed_up", [0, -1, float("nan"), float("inf")])
def test_no_other_speed_up(speed_up: float) -> None:
    """A speed-up is a number above 0."""
    with pytest.raises(ConfigError, match=r"^--speed-up .*: give a number above 0"):
        read(DATA / "times.txt", speed_up=speed_up)


def test_most_leaves_the_rest_alone(tmp_path: Path) -> None:
    """No more requests than asked for, and what follows them is not even looked at."""
    file = tmp_path / "long.txt"
    file.write_bytes(b"1\n2\n3\nrubbish\n")
    assert read(file, most=3).offset_ns.tolist() == [0, 10**9, 2 * 10**9]
    with pytest.raises(ConfigError, match="line 4"):
        read(file, most=4)


@pytest.mark.parametrize("file", ["mooncake.jsonl", "azure_2023.csv", "burstgpt_3.csv"])
def test_gzip_mark_and_line_ends_change_nothing(file: str, tmp_path: Path) -> None:
    """Packed or not, with a byte order mark or not, LF or CRLF, blank lines at the end: the same trace."""
    plain = (DATA / file).read_bytes().replace(b"\r\n", b"\n")
    dressed = b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n") + b"\r\n\r\n"
    (tmp_path / "any.name").write_bytes(gzip.compress(dressed))
    assert dues(read(tmp_path / "any.name")) == dues(read(DATA / file))


def test_rates_of_a_trace(tmp_path: Path) -> None:
    """Requests around a moment over the seconds that lie inside the trace, and how many are due until then."""
    file = tmp_path / "steady.txt"
    file.write_text("\n".join(str(second / 10) for second in range(601)))
    trace = read(file)
    assert trace.rate(30) == pytest.approx(10.1)  # both ends of the ten seconds have one
    assert trace.rate(0) == pytest.approx(10.2)
    assert trace.rate(600) == 0
    assert [trace.expected(at_s) for at_s in (-1, 0, 0.05, 0.1, 60, 99)] == [0, 1, 1, 2, 601, 601]


def test_ten_decimals_of_a_unix_time_survive(tmp_path: Path) -> None:
    """A time is read digit by digit: a float would be off by 100 ns."""
    file = tmp_path / "unix.csv"
    file.write_text("timestamp_s\n1700000000.000000001\n1700000000.123456789\n")
    assert read(file).offset_ns.tolist() == [0, 123_456_788]


def test_milliseconds_by_name(tmp_path: Path) -> None:
    """A column that says its unit is read in it, in CSV and in JSONL."""
    file = tmp_path / "ms"
    file.write_text("timestamp_ms,prompt_tokens\n1.5,3\n4,3\n")
    assert read(file).offset_ns.tolist() == [0, 2_500_000]
    file.write_text('{"t_ms": 1.5, "input_length": 3}\n{"t_ms": 4}\n')
    assert dues(read(file)) == [Due(0, 3, None), Due(2_500_000, None, None)]


REFUSED = [
    # times
    (b"2\n1\n", 2, "its time 1 s comes after 2 s on line 1; sort the file by time"),
    (MOON + MOON.replace(b": 1,", b": 0.5,"), 2, "its time 0.5 ms comes after 1 ms on line 1; sort"),
    (
        AZURE + b"2023-11-16 18:15:46.6805900,1,1\n\n2023-11-16 18:15:46.6805899,1,1\n",
        4,
        "its time 2023-11-16 18:15:46.680589900 UTC comes after 2023-11-16 18:15:46.680590000 UTC on line 2; sort",
    ),
    (b"1\n-1\n", 2, "has the time -1, which is negative; give seconds from 0 on"),
    (b"-1\n", 1, "has the time -1, which is negative"),
    (b"1\nnan\n", 2, "has the time 'nan'; give seconds, e.g. 12.5"),
    (b"1\ninf\n", 2, "has the time 'inf'; give seconds"),
    (b"1\n1_0\n", 2, "has the time '1_0'; give seconds"),
    (b"t\n9999999999999\n", 2, "after the year 2262; give seconds, or name the column timestamp_ms"),
    (b"t,prompt_tokens\n,4\n", 2, "has no time; give seconds, e.g. 12.5"),
    (b"t\n2024-05-10 00:00:00\n", 2, "of dates we read those of Azure's traces"),
    (MOON + b'{"input_length": 5, "output_length": 6}\n', 2, "has no time; give milliseconds"),
    (MOON.replace(b": 1,", b": -1,"), 1, "has the time -1, which is negative; give milliseconds from 0 on"),
    (MOON.replace(b": 1,", b": -1.5,"), 1, "has the time -1.5, which is negative"),
    (MOON.replace(b": 1,", b": NaN,"), 1, "is not JSON"),
    (MOON.replace(b": 1,", b': "1",'), 1, "has the time '1'; give milliseconds"),
    (MOON.replace(b": 1,", b": true,"), 1, "has the time 'True'; give milliseconds"),
    (MOON.replace(b": 1,", b": 1e300,"), 1, "after the year 2262; give milliseconds"),
    (MOON.replace(b": 1,", b": 1e308,"), 1, "has the time '1e+308'; give milliseconds"),
    (AZURE + b"2023-06-31 18:15:46,1,1\n", 2, "has the time '2023-06-31 18:15:46'; give e.g. 2024-05-10"),
    (AZURE + b"1969-12-31 23:59:59,1,1\n", 2, "has the time '1969-12-31 23:59:59'; give e.g. 2024-05-10"),
    (AZURE + b"9999-12-31 23:59:59,1,1\n", 2, "after the year 2262; give a date and a time"),
    (AZURE + b"12.5,1,1\n", 2, "has the time '12.5'; give e.g. 2024-05-10 00:00:00.009930+00:00"),
    # lengths
    (AZURE + b"2023-11-16 18:15:46,0,1\n", 2, "has ContextTokens '0'; give a whole number of tokens from 1 to 1000000"),
    (AZURE + b"2023-11-16 18:15:46,1,\n", 2, "has GeneratedTokens ''; give a whole number"),
    (BURST + b"5,GPT-4,0,7,7,API log\n", 2, "has Request tokens '0'; give a whole number"),
    (BURST + b"5,GPT-4,7,-1,7,API log\n", 2, "has Response tokens '-1'; give a whole number"),
    (b"t,prompt_tokens\n1,1.5\n", 2, "has prompt_tokens '1.5'; give a whole number"),
    (b"t,output_tokens\n1,1000001\n", 2, "has output_tokens '1000001'; give a whole number of tokens from 1 to"),
    (MOON.replace(b"5,", b"0,"), 1, "has input_length '0'; give a whole number"),
    (MOON.replace(b"5,", b"5.5,"), 1, "has input_length '5.5'; give a whole number"),
    (MOON.replace(b'"output_length": 6, ', b""), 1, "has output_length missing; give a whole number"),
    (MOON.replace(b"[0]", b"[-1]"), 1, "has hash_ids '[-1]'; give a list of whole numbers"),
    (MOON.replace(b"[0]", b'{"a": [1]}'), 1, "has hash_ids \"{'a': [1]}\"; give a list"),
    # lines
    (MOON + MOON[:40], 2, "is not JSON"),
    (MOON + b"[1, 2]\n", 2, "is not a JSON object; write one {...} a line"),
    (AZURE + b"2023-11-16 18:1", 2, "has 1 values where the first line has 3; is it cut short?"),
    (b't,note\n1,"open\n', 2, "is not CSV"),
    (b"1\n2,3\n", 2, "has the time '2,3'; give seconds"),
    # heads
    (b"when,how_long\n1,2\n", 1, "'when,how_long' begins no trace we know; give Mooncake JSONL, an Azure LLM CSV"),
    (b"1,2,3\n", 1, "begins no trace we know"),
    (b'[{"timestamp": 1}]\n', 1, "begins no trace we know"),
    (b"t,t\n1,2\n", 1, "has a column 't' twice; leave one"),
    (b"t,time\n1,2\n", 1, "has t and time; leave one time"),
    (b"t,input_length,prompt_tokens\n1,2,3\n", 1, "has input_length and prompt_tokens; leave one prompt length"),
    (b'{"prompt_tokens": 4}\n', 1, "has no time; name one of timestamp, time, t"),
    (b'{"timestamp": 4, "input_length": 4}\n', 1, "milliseconds or seconds? Rename timestamp to timestamp_ms"),
    # no text
    (b"\xff\xfet\x00\n\x00", 1, "is not UTF-8 text"),
    (b"1\n\x80\n", 2, "is not UTF-8 text; give a trace as CSV, JSONL or numbers, plain or in gzip"),
    (b"1\n" + b"2" * LINE_MOST, 2, "is longer than a line of any trace"),
    (b"\x00" * 100, 1, "begins no trace we know"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line", "problem"), REFUSED, ids=range(len(REFUSED)))
def test_a_bad_line_is_named(content: bytes, line: int, problem: str, tmp_path: Path) -> None:
    """The file, the line, what stands there and what should, in one short line."""
    file = tmp_path / "bad.trace"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(file)
    message = str(caught.value)
    assert message.startswith(f"{file} line {line}: ")
    assert problem in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(file))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty; give Mooncake JSONL"),
        (b"\n \r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (AZURE, "has no request; give a trace with at least one"),
        (BURST + b"5,GPT-4,0,0,0,API log\n", "has no request but 1 failed ones"),
        (gzip.compress(b"1\n2\n", mtime=0)[:-9], "its gzip data is cut short or damaged"),
        (b"\x1f\x8brubbish", "its gzip data is cut short or damaged"),
    ],
)
def test_a_bad_file_is_named(content: bytes, problem: str, tmp_path: Path) -> None:
    """What is wrong with a whole file is said of the file."""
    file = tmp_path / "bad.trace"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: {problem}")


def unreadable(folder: Path) -> Iterator[tuple[Path, str]]:
    """Paths that cannot be opened or read."""
    yield folder / "none.csv", "No such file or directory"
    yield folder, "Is a directory"
    yield Path("a\0b"), "embedded null byte"
    yield Path("~nobody-of-this-name/trace.csv"), "Could not determine home directory"
    if os.geteuid():
        closed = folder / "closed.csv"
        closed.touch(mode=0)
        yield closed, "Permission denied"


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Missing, a folder, without permission or no path at all: the system's reason and what to give."""
    for path, reason in unreadable(tmp_path):
        with pytest.raises(ConfigError) as caught:
            read(path)
        assert (
            str(caught.value)
            == f"{path}: the trace cannot be read ({reason}); give a file, e.g. trace:azure.csv"
        )


def attempt(content: bytes) -> Trace | None:
    """Read some bytes; None if they are refused."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            return read(Path(file.name))
        except ConfigError:
            return None


real = st.sampled_from([path.read_bytes() for path in sorted(DATA.glob("*")) if path.suffix != ".md"])


@given(st.binary(max_size=200))
@example(b"1e99\n")
@example(b'{"hash_ids": [], "timestamp": 1e999, "input_length": 1e999}\n')
@example(b'{"hash_ids": [1], "timestamp": 1, "input_length": 1e400, "output_length": 1}\n')
@example(b"t\n" + b"1" * 5000)
@example(AZURE + b"0000-00-00 00:00:00,1,1\n")
@example(AZURE + b"2024-05-10 00:00:00+99:99,1,1\n")
def test_garbage_is_refused_and_never_breaks(content: bytes) -> None:
    """Whatever the bytes are, there is a trace or a ConfigError."""
    trace = attempt(content)
    assert trace is None or len(trace) > 0


likely = st.text('0123456789.,-eE\n"{}[]:T', max_size=9).map(str.encode)


@given(real, st.data())
@settings(max_examples=150)
def test_a_damaged_trace_is_refused_or_ordered(content: bytes, data: st.DataObject) -> None:
    """A real layout cut anywhere, with garbage anywhere: refused, or still a trace from 0 with sound lengths."""
    cut = data.draw(st.integers(0, len(content)))
    garbage = data.draw(st.one_of(st.just(b""), st.binary(max_size=20), likely))
    rest = content[cut:] if data.draw(st.booleans()) else b""
    trace = attempt(content[:cut] + garbage + rest)
    if trace is not None:
        assert trace.offset_ns[0] == 0
        assert bool((np.diff(trace.offset_ns) >= 0).all())
        for lengths in (trace.prompt_tokens, trace.output_tokens):
            assert bool(((lengths == -1) | ((lengths >= 1) & (lengths <= 1_000_000))).all())
        assert all(isinstance(due, Due) for due in dues(trace))


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=30).map(sorted), st.sampled_from([1, 2, 10]))
def test_times_written_are_times_read(times_ns: list[int], speed_up: int) -> None:
    """Nanoseconds written as decimals of seconds come back exactly, less the first, divided by the speed-up."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("time\n" + "".join(f"{ns // 10**9}.{ns % 10**9:09d}\n" for ns in times_ns))
        file.flush()
        trace = read(Path(file.name), speed_up=speed_up)
    assert trace.offset_ns.tolist() == [round((ns - times_ns[0]) / speed_up) for ns in times_ns]
