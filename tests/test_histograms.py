"""Histograms: what a file or an option may say, what is drawn from it, and how mistakes are told."""

import gzip
import random
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.distributions import HIGH, LOW, parse, portable
from harness.errors import ConfigError
from harness.histograms import Empirical, of

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
tables = st.dictionaries(st.integers(LOW, HIGH), st.floats(1e-9, 1e9), min_size=1, max_size=40)


@pytest.fixture
def said(tmp_path):
    """What `--prompt-tokens file:...` makes of some bytes."""

    def read(data: str | bytes, name: str = "sizes.csv") -> Empirical:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        found = parse(f"file:{path}", "--prompt-tokens")
        assert isinstance(found, Empirical)
        return found

    return read


@pytest.mark.parametrize(
    "data",
    [
        "100\n500\n100\n2000\n",
        "tokens\n100\n500\n100\n2000",
        "Tokens,Weight\r\n100,2\r\n500,1\r\n2000,1\r\n",
        "# from production\n\n 2000 , 1.0 \n100,2e0\n500,1\n700,0\n",
        "\ufefftokens,weight\n100,0.5\n500,1\n2000,1\n100,1.5\n",
        gzip.compress(b"tokens,weight\n100,2\n500,1\n2000,1\n", mtime=0),
    ],
)
def test_files_that_say_the_same(said, data):
    """With or without header, weights, comments, order, repetition, byte order mark or gzip: one distribution."""
    found = said(data)
    assert (found.tokens, found.weights) == ((100, 500, 2000), (2.0, 1.0, 1.0))
    assert found.mean == 675.0
    assert found.asked_least == 100


def test_inline():
    """`hist:` has tokens@weight; those of weight 0 are never meant, a count given twice has both weights."""
    found = parse("hist: 500@3 ,100@2.5,2000@1, 100@2.5, 7@0", "x")
    assert found == parse("hist:100@5,500@3,2000@1", "x")
    assert found.describe() == "hist:100@5,500@3,2000@1"
    assert found.mean == pytest.approx((500 + 1500 + 2000) / 9, rel=1e-15)
    assert found.asked_least == 100


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ("", "has '' where tokens@weight belongs"),
        ("100", "has '100' where tokens@weight belongs"),
        ("100@5,", "has '' where tokens@weight belongs"),
        ("0@5", "has 0, outside 1 to 1000000"),
        ("1000001@5", "has 1000001, outside 1 to 1000000"),
        ("1.5@5", "has '1.5' where a plain whole number"),
        ("100@-5", "has '-5' where a weight from 0"),
        ("100@nan", "has 'nan' where a weight from 0"),
        ("100@1_0", "has '1_0' where a weight from 0"),
        ("100@", "has '' where a weight from 0"),
        ("100@1e16", "has '1e16' where a weight from 0"),
        ("100@1e999", "has '1e999' where a weight from 0"),
        ("100@5@6", "has '5@6' where a weight from 0"),
        ("100@0,500@0.0", "has weights that sum to nothing"),
        ("100@1e15,500@1e15", "has weights that sum to more than 1e+15"),
    ],
)
def test_refused_inline(numbers, problem):
    """One line with the option, its text, the problem and an example."""
    with pytest.raises(ConfigError) as caught:
        parse(f"hist:{numbers}", "--output-tokens")
    assert str(caught.value).startswith(f"--output-tokens 'hist:{numbers}' {problem}")
    assert str(caught.value).endswith("; write for example hist:100@5,500@3")


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        ("", None, "is empty"),
        ("\n# nothing\n\n", None, "is empty"),
        ("tokens,weight\n", None, "is empty"),
        ("550\n\nabc\n", 3, "has 'abc' as tokens"),
        ("550\n-5\n", 2, "has '-5' as tokens"),
        ("550\n0\n", 2, "has 0 as tokens; give from 1 to 1000000"),
        ("550\n1000001\n", 2, "has 1000001 as tokens; give from 1 to 1000000"),
        ("550\n" + "9" * 5000, 2, "has '" + "9" * 39 + "... as tokens"),
        ("550.5\n", 1, "has '550.5' as tokens"),
        ("\u0665\n", 1, "has '\u0665' as tokens"),
        ("prompt,weight\n550,1\n", 1, "has 'prompt' as tokens"),
        ("tokens,output\n550,1\n", 1, "has 'tokens' as tokens"),
        ("550,-1\n", 1, "has '-1' as weight; give from 0"),
        ("550,nan\n", 1, "has 'nan' as weight"),
        ("550,inf\n", 1, "has 'inf' as weight"),
        ("550,1e99\n", 1, "has '1e99' as weight; give from 0"),
        ("550,\n", 1, "has '' as weight"),
        ("550,1\n600\n", 2, "has 1 columns, not 2"),
        ("550,1,2\n", 1, "has 3 columns"),
        ("550;1\n", 1, "has '550;1' as tokens"),
        ("550,0\n600,0\n", None, "has weights that sum to nothing"),
        ("550,1e15\n600,1e15\n", None, "has weights that sum to more than 1e+15"),
        (b"550\n\xff\xfe\n", 2, "is not UTF-8 text"),
        ("550\n".encode("utf-16"), 1, "is not UTF-8 text"),
        (b"550\n" + b"1" * 1_100_000, 2, "is longer than 1048576 bytes"),
        (gzip.compress(b"550\n" * 100_000, mtime=0)[:-20], None, "damaged gzip"),
    ],
)
def test_refused_files(said, tmp_path, data, line, problem):
    """One line with the option, the file, the line, the problem and the fix."""
    with pytest.raises(ConfigError) as caught:
        said(data)
    message = str(caught.value)
    assert message.startswith(f"--prompt-tokens 'file:{tmp_path / 'sizes.csv'}' ")
    assert problem in message
    assert "; " in message
    assert "\n" not in message
    if line is not None:
        assert f"' line {line} {problem}" in message


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "names no file"),
        ("{}/none.csv", "cannot be read (No such file or directory)"),
        ("{}", "cannot be read (Is a directory)"),
        ("{}/\0", "cannot be read (embedded null byte)"),
    ],
)
def test_refused_paths(tmp_path, path, problem):
    """A file that cannot be opened is told with the system's reason."""
    with pytest.raises(ConfigError) as caught:
        parse(f"file:{path.format(tmp_path)}", "--prompt-tokens")
    assert f" {problem}; " in str(caught.value)


@given(tables)
def test_describe_and_portable_round_trip(table):
    """`parse` of the text gives the same distribution back, to the last bit of its weights."""
    found = of(table)
    assert found is not None
    assert parse(found.describe(), "x") == found
    assert portable(found) == found.describe()


@given(tables, st.integers())
@FILES
def test_a_file_and_its_portable_text_draw_the_same(said, table, seed):
    """A worker without the file draws what the master would; samples are of the file's counts."""
    found = said("".join(f"{tokens},{weight!r}\n" for tokens, weight in table.items()))
    assert found.describe() == f"file:{found.path}"
    assert parse(found.describe(), "x") == found
    elsewhere, here, there = parse(portable(found), "x"), random.Random(seed), random.Random(seed)
    drawn = [found.sample(here) for _ in range(50)]
    assert drawn == [elsewhere.sample(there) for _ in range(50)]
    assert set(drawn) <= set(table)
    assert elsewhere.mean == found.mean


@given(st.binary(max_size=200))
@FILES
def test_no_bytes_make_a_traceback(said, data):
    """Whatever a file holds: a distribution with bounds that ascend, or a ConfigError."""
    try:
        found = said(data)
    except ConfigError:
        return
    assert all(low < high for low, high in pairwise((0.0, *found.bounds)))


def test_counts_are_drawn_by_their_weights():
    """100,000 samples of four counts: chi-squared below its 99.99th percentile of 21.1 (3 degrees of freedom)."""
    found, rng = parse("hist:1@0.1,10@3,100@5.9,1000000@1", "x"), random.Random(11)
    drawn = [found.sample(rng) for _ in range(100_000)]
    expected = {1: 1000, 10: 30_000, 100: 59_000, 1_000_000: 10_000}
    assert sum((drawn.count(tokens) - n) ** 2 / n for tokens, n in expected.items()) < 21.1
    assert fmean(drawn) == pytest.approx(found.mean, rel=0.05)


def test_one_count_is_a_constant():
    """A histogram of one count always gives it."""
    found, rng = parse("hist:7@0.3", "x"), random.Random(1)
    assert {found.sample(rng) for _ in range(100)} == {7}
    assert found.mean == pytest.approx(7, rel=1e-15)
