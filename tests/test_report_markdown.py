"""A run's tables for a pull request: the summary's numbers, and whatever came from outside as inert text."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_pages import summary_of, sweep

from harness import carried
from harness.grid import NULL, clean, number
from harness.report.markdown import inert, render
from harness.report.text import cut


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """The synthetic sweep's table and windows."""
    return sweep(tmp_path_factory.mktemp("t"), per_level=60)


def tables(text: str) -> dict[str, list[list[str]]]:
    """The cells of each table under its caption, heading and all but its rule."""
    found = re.findall(r"^\*\*([^*]+)\*\*\n\n((?:\|.*\n)+)", text, re.MULTILINE)
    return {
        caption: [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for at, line in enumerate(body.splitlines())
            if at != 1
        ]
        for caption, body in found
    }


def test_it_has_the_summarys_numbers(requests):
    """Verdict and headline first; a row a level with intervals and dashes, SLOs, failures, footnotes."""
    summary = summary_of(*requests, "ttft_p95<57ms", "error_rate<0.5%", run_id="r-1")
    text = render(summary, {"settings": {"run_name": "night"}, "started_at": "2026-11-21T04:23:12+00:00"})
    assert text.startswith(
        "## night\n\n**verdict: suspect** \N{MIDDLE DOT} **service levels missed: met at no level**"
    )
    assert "run r-1" in text.splitlines()[2]
    found = tables(text)
    names, *levels = found["Levels"]
    assert names[:5] == [
        "users",
        "ok/all",
        "tokens/request prompt",
        "tokens/request output",
        "system tokens/s output",
    ]
    for cells, level in zip(levels, summary["levels"], strict=True):
        between = level["intervals"]["system_output_tokens_per_s"]
        told = dict(zip(names, cells, strict=True))
        assert told["ok/all"] == f"{level['succeeded']}/{level['requests']}"
        assert told["system tokens/s output"] == (
            f"{number(level['system_output_tokens_per_s'])} ({number(between['low'])} to {number(between['high'])})"
        )
        assert told["TTFT ms p50"] == number(level["ttft_ms"]["p50"])
        assert told["TTFT ms p99"] == f"{NULL}\\*"
        assert told["SLO met"] == "no"
    assert [row[0] for row in found["Service levels"][1:]] == ["ttft_p95&lt;57ms", "error_rate&lt;0.5%"]
    assert [[row[0], row[1]] for row in found["Failures in all phases"][1:]] == [
        [str(one["count"]), one["error_class"]] for one in summary["failures"]
    ]
    assert carried.says(["p99"]) in text
    assert text.index("Read these results with care") < text.index("**Levels**")


def test_an_empty_and_a_failed_run_say_so_first(requests):
    """And have no table without rows."""
    table, windows = requests
    empty = render(summary_of(table[:0], [], incomplete=["lost"]), {})
    assert "> **No request was sent. There is nothing to measure**" in empty
    assert "> **These results are incomplete**" in empty
    assert "|" not in empty
    failed = render(summary_of(table[table["outcome"] == "failed"], windows), {})
    assert failed.index("requests succeeded. There is no") < failed.index("**Levels**")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain words, 3.5 % (x=1)", "plain words, 3.5 % (x=1)"),
        ("a|b", "a&#124;b"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("*b* _i_ in_a_word", "&#42;b&#42; &#95;i&#95; in_a_word"),
        ("`c` ~s~ $x$", "&#96;c&#96; &#126;s&#126; &#36;x&#36;"),
        ("[l](u) ![i](u)", "&#91;l&#93;(u) !&#91;i&#93;(u)"),
        ("@team #12 :tada:", "&#64;<!-- -->team &#35;<!-- -->12 &#58;<!-- -->tada:"),
        ("http://x www.x", "http&#58;<!-- -->//x www&#46;x"),
        ("at 04:23:12", "at 04:23:12"),
        ("- item", "&#45; item"),
        ("1. item", "&#49;. item"),
        ("1.5 ms", "1.5 ms"),
        ("# head", "&#35;<!-- --> head"),
        ("a\nb\x00\x1b[31m\u202ec", "a b??&#91;31m?c"),
        ("back\\slash", "back&#92;slash"),
    ],
)
def test_marks_are_numbers(text, written):
    """What Markdown or a forge would take for its own."""
    assert inert(text) == written


@given(st.text(max_size=60))
def test_text_is_shown_as_it_is_and_holds_no_mark(text):
    """Of any text: read as HTML it is the cleaned text again, and no mark of Markdown is left in it."""
    written = inert(text)
    assert unescape(written.replace("<!-- -->", "")) == clean(text)
    bare = re.sub(r"&(#\d+|lt|gt|amp);", "", written.replace("<!-- -->", ""))
    assert not re.search(r"[`*\[\]<>|~$@#&\\]", bare)
    assert not re.search(r"://|(?i:www\.)|(?<!\w)_|_(?!\w)", bare)
    assert not re.match(r"[-+=]|\d{1,9}[.)](\s|$)", written)


def test_hostile_words_break_no_table(requests):
    """Every row has as many cells as its heading, whatever the error said; a megabyte is cut."""
    table, windows = requests
    evil = "| x | <script>alert(1)</script> \n\n# h\n@all ![i](http://x) " + "y" * 1024 * 1024
    table = table.copy()
    table["error_message"] = table["error_message"].astype(object).where(table["outcome"] != "failed", evil)
    summary = summary_of(table, windows, findings=[("suspect", evil)], incomplete=[evil], run_id="r|`r`")
    text = render(summary, {"settings": {"run_name": evil, "model": evil}})
    assert len(text) < 30_000
    assert "<script" not in text
    assert "http://" not in text
    for rows in tables(text).values():
        assert {len(row) for row in rows} == {len(rows[0])}
    assert cut(evil, 20).endswith(f"({len(evil):,} characters)")
