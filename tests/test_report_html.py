"""The page: well formed, self-contained, safe, and with the summary's numbers."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from synthetic_run import run

from harness.metrics import summarise
from harness.report_html import render
from harness.rows import load, write
from harness.svg import HEIGHT, WIDTH, Series, chart, ticks
from harness.tables import number

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'
VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """Every tag, attribute and text of a page; fails on a tag that closes another."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, each piece on its line."""
        return "\n".join(self.words)


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """The synthetic sweep's table and windows."""
    records, windows = run()
    path = tmp_path_factory.mktemp("t") / "requests.parquet"
    write(path, records)
    return load(path), windows


def test_the_page_is_well_formed_and_needs_nothing_else(requests):
    """Tags nest; no script, no style sheet, image or font from anywhere; links only to its neighbours."""
    table, windows = requests
    text = render(summarise(table, windows, run_id="r"), {"model": "m"})
    page = Page(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object"}
    linked = {attrs["href"] for _, attrs in page.tags if "href" in attrs}
    assert linked == {"requests.parquet", "run.json", "summary.json", "levels.csv"}
    assert not re.search(r"url\(|@import|https?://", text)
    assert "prefers-color-scheme:dark" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314  our own text


def test_the_page_shows_the_summarys_numbers(requests):
    """Every cell of the level table, the totals, the verdict and its reasons."""
    table, windows = requests
    summary = summarise(table, windows, run_id="r", planned=777)
    text = render(summary, {"run_name": "night"}, {"versions": {"locust": "2.47.0"}})
    page = Page(text)
    cells = [
        re.sub(r"<.*?>", " ", row).split()
        for row in re.findall(r"<tr><th>\d.*?</tr>", text.replace("\n", ""))
    ]
    for row, level in zip(cells, summary["levels"], strict=True):
        assert row[:5] == [
            str(level["concurrency"]),
            str(level["requests"]),
            str(level["failed"]),
            number(level["system_output_tokens_per_s"]),
            number(level["system_total_tokens_per_s"]),
        ]
        assert row[8:11] == [
            number(level["ttft_ms"]["p50"]),
            number(level["ttft_ms"]["p95"]),
            number(level["ttft_ms"]["p99"]) + "*",
        ]
        assert row[-1] == number(level["e2e_ms"]["p95"] / 1e3)
    for reason in summary["verdict"]["reasons"]:
        assert reason in page.text
    assert page.words.count("777") == 1
    assert {"night", "versions.locust", "2.47.0"} <= set(page.words)


def test_whatever_came_from_outside_is_escaped(requests):
    """Names, settings, reasons, errors and the client's words are text, never markup."""
    table, windows = requests
    table = table.copy()
    table["error_class"] = table["error_class"].astype(object).where(table["error_class"].isna(), EVIL)
    summary = summarise(
        table,
        windows,
        run_id=EVIL,
        incomplete=[EVIL],
        findings=[("suspect", EVIL)],
        client={EVIL: {"x": EVIL}},
    )
    settings = {"run_name": EVIL, "model": EVIL, "host": EVIL, EVIL: [EVIL], "label": {EVIL: EVIL}}
    page = Page(
        render(summary, settings, {"started_at": EVIL, "host": {"name": EVIL}, "versions": {EVIL: EVIL}})
    )
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert page.text.count("<script>alert(1)</script>") >= 14


def test_an_incomplete_or_empty_run_still_makes_a_page(requests):
    """With a banner, dashes, and charts that say that nothing was measured."""
    table, _ = requests
    page = Page(render(summarise(table[:0], [], run_id="r", incomplete=["lost"]), {}))
    assert "These results are incomplete" in page.words
    assert page.words.count("not measured") == 4
    assert page.open == []


@pytest.mark.parametrize(
    ("top", "marks"),
    [
        (0, [0, 1]),
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (206.5, [0, 50, 100, 150, 200, 250]),
        (45, [0, 10, 20, 30, 40, 50]),
        (1200, [0, 250, 500, 750, 1000, 1250]),
        (0.003, [0, 0.001, 0.002, 0.003]),
    ],
)
def test_ticks_are_round_and_reach_the_top(top, marks):
    """From 0, in steps of 1, 2, 2.5 or 5 times a power of ten."""
    assert ticks(top) == pytest.approx(marks)


def points(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    """The coordinates of every polyline or polygon of a class."""
    found = re.findall(rf'class="{kind} \w+" points="([^"]*)"', svg)
    return [[tuple(map(float, pair.split(","))) for pair in run.split()] for run in found]


def test_a_line_is_drawn_to_scale():
    """Heights are proportional to values from the zero line, levels evenly spaced."""
    svg = chart("t", "x", ["1", "2", "8"], [Series("s", [10, 20, 40])])
    [[a, b, c]] = points(svg, "line")
    zero = HEIGHT - 40
    assert [(zero - y) / (zero - c[1]) for _, y in (a, b, c)] == pytest.approx([0.25, 0.5, 1], abs=0.01)
    assert b[0] - a[0] == pytest.approx(c[0] - b[0], abs=0.2)
    assert "s at 8: 40" in svg


def test_a_gap_in_the_values_is_a_gap_in_the_line():
    """None is not drawn, least of all as 0; the band breaks with it."""
    svg = chart(
        "t",
        "x",
        list("abcde"),
        [Series("s", [1, 2, None, 4, 5], "s1", [1, 1, None, 3, 4], [2, 3, None, 5, 6])],
    )
    assert [len(line) for line in points(svg, "line")] == [2, 2]
    assert [len(band) for band in points(svg, "band")] == [4, 4]
    assert svg.count("<circle") == 4


def test_series_names_do_not_run_into_one_another():
    """Lines that end together have names at least a line's height apart, in their order, on the page."""
    svg = chart(
        "t",
        "x",
        ["1", "2"],
        [Series(n, [1, v], "s1") for n, v in (("p50", 9.8), ("p95", 9.9), ("p99", 10.0))],
    )
    names = {name: float(y) for y, name in re.findall(r'class="name s1" x="[^"]*" y="([^"]*)">(\w+)<', svg)}
    assert names["p50"] - names["p95"] >= 13.9
    assert names["p95"] - names["p99"] >= 13.9
    assert all(0 < y < HEIGHT for y in names.values())


def test_one_level_stands_in_the_middle_with_its_spread_as_a_bar():
    """A single point is no line, and its band an error bar."""
    svg = chart("t", "x", ["8"], [Series("s", [5.0], "s2", [4.0], [6.0])])
    [[low, high]] = points(svg, "bar")
    assert low[0] == high[0]
    assert 58 < low[0] < WIDTH
    assert svg.count("<circle") == 1
