"""Lines that every InfluxDB reads as the point that was meant."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from influx_fake import parse, split_lines

from harness.influx.fields import Field, Measurement
from harness.influx.lines import TAG_CHARACTERS, TEXT_BYTES, Encoder, tag
from harness.influx.schema import MEASUREMENTS
from harness.record import Phase

POINT = Measurement(
    name="m",
    meaning="",
    writer="",
    time="",
    tags=("run", "a"),
    fields={
        "n": Field("int", "", ""),
        "x": Field("float", "", ""),
        "s": Field("string", "", ""),
        "b": Field("bool", "", ""),
        "s2": Field("string", "", ""),
    },
)
ODD = " ,=\"'\\\n\r\t\x00\x7f\x85\ud800\udfff\u2028😀é#_~a"
TEXTS = st.one_of(st.text(st.sampled_from(ODD), max_size=12), st.text(st.characters(), max_size=20))
NASTY = (
    "",
    " ",
    "\\",
    "a\\",
    "\\\\",
    "\\ ",
    "\\,",
    "\\=",
    '\\ \\= "',
    "a\\b\\c",
    "meta-llama/Llama-3.1-8B Instruct",
    "a=b,c",
    "a\nb",
    "a\r\nb",
    "\ttab",
    "nul\x00",
    "👩‍🚀" * 100,
    "x" * 10_000,
    "\ud800",
    '"',
    "'",
    "#comment",
    "ß" * 256,
    "ß" * 257,
)


def read(line: bytes) -> tuple[dict[str, str], dict[str, object], int]:
    """What is in a line, the same by the rules of 1.x and 2.x and of 3.x; it is one line."""
    text = line.decode()
    assert list(split_lines(f"{text}\n{text}")) == [text, text]
    point = parse(text)
    assert parse(text, collapse=True) == point
    return dict(point.tags), dict(point.fields), point.time_ns


def storable(text: str) -> str:
    """A string field as it comes back."""
    return text.encode("utf-8", "replace").decode()


@given(run=TEXTS, a=TEXTS, s=TEXTS, s2=TEXTS, time_ns=st.integers(0, 2**63 - 1))
@example(run='\\ \\= "', a='"', s='" \n\\', s2="\\", time_ns=1)
def test_texts_come_back(run: str, a: str, s: str, s2: str, time_ns: int) -> None:
    """Whatever they hold: field texts to the letter, tags as `tag` says, and nothing of one gets into another."""
    line = Encoder(POINT, run=run).line(time_ns, {"s": s, "n": 7, "s2": s2}, a=a)
    assert read(line) == (
        {"a": tag(a), "run": tag(run)},
        {"s": storable(s), "n": 7, "s2": storable(s2)},
        time_ns,
    )


@given(text=TEXTS, other=TEXTS)
def test_tags_stay_apart(text: str, other: str) -> None:
    """Two names never become one; what is a tag stays it; and none has what a tag cannot hold."""
    made = tag(text)
    assert made == tag(made)
    assert 1 <= len(made) <= TAG_CHARACTERS
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", made)
    if {text, other} != {"", "none"}:
        assert (made == tag(other)) == (text == other)


@pytest.mark.parametrize("text", NASTY)
def test_nasty_names(text: str) -> None:
    """Each as a tag and as a field's text, on one line."""
    tags, fields, _ = read(Encoder(POINT, run=text, a="b").line(1, {"s": text, "s2": f"{text}{text}"}))
    assert tags == {"run": tag(text), "a": "b"}
    assert fields == {"s": storable(text), "s2": storable(text + text)}


def test_how_tags_look() -> None:
    """Names that a tag can hold stay as they are; others stay readable, and their hash does not change with versions."""
    for kept in (
        "meta-llama/Llama-3.1-8B Instruct",
        "a=b,c",
        'say "hi"',
        "C:\\models\\x",
        "👩‍🚀 é",
        "x" * 256,
    ):
        assert tag(kept) == kept
    assert tag("") == "none"
    assert tag("two\nlines") == "two_lines~9744aefe"
    assert tag("a\\") == "a_~7c393e20"
    assert tag("a\\,b") == "a_,b~69903f38"
    assert tag("x" * 257) == "x" * 247 + "~3c17cd59"
    assert tag("x" * 258) != tag("x" * 257)


@given(
    n=st.integers(-(2**70), 2**70),
    x=st.floats(),
    b=st.booleans(),
)
def test_numbers_come_back(n: int, x: float, b: bool) -> None:
    """Exactly, in the kind that the schema says; what does not fit is left out."""
    line = Encoder(POINT, run="r", a="a").line(1, {"n": n, "x": x, "b": b})
    expected: dict[str, object] = {"b": b}
    if -(2**63) <= n < 2**63:
        expected["n"] = n
    if math.isfinite(x):
        expected["x"] = x
    _, fields, _ = read(line)
    assert fields == expected
    assert {name: type(value) for name, value in fields.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_a_field_keeps_its_kind() -> None:
    """An int of a float field is a float, a whole float of an int field an int, whatever a table made of them."""
    line = Encoder(POINT, run="r", a="a").line(5, {"n": 3.0, "x": 3, "s": 4, "b": 1})
    assert line == b'm,a=a,run=r n=3i,x=3.0,s="4",b=true 5'
    line = Encoder(POINT, run="r", a="a").line(
        5, {"n": np.int64(3), "x": np.float64(0.1), "s": Phase.MEASURE}
    )
    assert line == b'm,a=a,run=r n=3i,x=0.1,s="measure" 5'


def test_what_was_not_measured_is_left_out() -> None:
    """None, NaN and infinities; a point of nothing else is none."""
    nothing = {"n": math.nan, "x": math.inf, "s": math.nan, "b": math.nan, "s2": None}
    encode = Encoder(POINT, run="r", a="a")
    assert encode.line(1, nothing) == b""
    assert encode.line(1, {"n": np.float32("nan"), "x": np.float64("-inf"), "s": np.nan}) == b""
    assert encode.line(1, {"n": math.inf, "x": 10**400}) == b""
    assert encode.line(1, {}) == b""
    assert encode.line(1, {**nothing, "s2": ""}) == b'm,a=a,run=r s2="" 1'


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_long_texts_are_cut(letter: str) -> None:
    """At 64 kB of UTF-8, between letters."""
    width = len(letter.encode())
    _, fields, _ = read(Encoder(POINT, run="r", a="a").line(1, {"s": letter * 100_000}))
    assert fields["s"] == letter * (TEXT_BYTES // width)
    _, fields, _ = read(Encoder(POINT, run="r", a="a").line(1, {"s": letter * (TEXT_BYTES // width)}))
    assert fields["s"] == letter * (TEXT_BYTES // width)


def test_a_name_that_the_schema_has_not_is_a_mistake_of_ours() -> None:
    """Fields, tags, tags that are missing, and texts where numbers belong."""
    with pytest.raises(KeyError, match="no tag colour"):
        Encoder(POINT, colour="red")
    encode = Encoder(POINT, run="r")
    with pytest.raises(KeyError, match="unknown or missing: \\['a'\\]"):
        encode.line(1, {"n": 1})
    with pytest.raises(KeyError, match="unknown or missing: \\['c'\\]"):
        encode.line(1, {"n": 1}, a="a", c="c")
    with pytest.raises(KeyError, match="colour"):
        encode.line(1, {"colour": None}, a="a")
    with pytest.raises(ValueError, match="many"):
        encode.line(1, {"n": "many"}, a="a")


def test_many_tags_are_not_kept_for_ever() -> None:
    """Escaped tags are remembered, up to a bound, and right after it too."""
    encode = Encoder(POINT, run="r")
    for number in range(3_000):
        assert encode.line(1, {"n": 1}, a=f"a {number}") == f"m,a=a\\ {number},run=r n=1i 1".encode()
    assert len(encode._heads) <= 1_024


def test_names_of_the_schema_need_no_escapes() -> None:
    """Measurements, tags and fields are written as they are."""
    for one in MEASUREMENTS.values():
        for name in (one.name, *one.tags, *one.fields):
            assert re.fullmatch("[a-z][a-z0-9_]*", name)


def test_the_tags_of_every_measurement() -> None:
    """Sorted, whatever order the schema has them in."""
    for one in MEASUREMENTS.values():
        field = next(iter(one.fields))
        value = "2" if one.fields[field].kind == "string" else 2
        line = Encoder(one, run="r 1").line(
            9, {field: value}, **{name: name for name in one.tags if name != "run"}
        )
        tags, fields, time_ns = read(line)
        assert tags == {name: "r 1" if name == "run" else name for name in one.tags}
        assert (fields, time_ns) == ({field: value}, 9)
