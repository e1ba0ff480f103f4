"""The page: well formed, self-contained, safe, and with the summary's numbers."""

import re
from html import unescape
from html.parser import HTMLParser
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import run
from test_audit import lost, said, table, totals

from harness.audit import account
from harness.grid import NULL, number
from harness.metrics import summarise
from harness.report_html import render
from harness.report_settings import about
from harness.rows import load, write
from harness.svg import HEIGHT, WIDTH, Series, bars, chart, ticks
from harness.svg_labels import CHARACTER, Box, place

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
    assert linked == {"requests.parquet", "client.csv", "run.json", "summary.json", "levels.csv"}
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
    ][: len(summary["levels"])]
    for row, level in zip(cells, summary["levels"], strict=True):
        assert row[:5] == [
            str(level["concurrency"]),
            f"{level['succeeded']}/{level['requests']}",
            number(level["prompt_tokens"]["mean"]),
            number(level["output_tokens"]["mean"]),
            number(level["system_output_tokens_per_s"]),
        ]
        assert row[5] == number(level["system_total_tokens_per_s"])
        assert row[9:12] == [
            number(level["ttft_ms"]["p50"]),
            number(level["ttft_ms"]["p95"]),
            number(level["ttft_ms"]["p99"]) + "*",
        ]
        assert row[-1] == number(level["e2e_ms"]["p95"] / 1e3)
    for reason in summary["verdict"]["reasons"]:
        assert reason in page.text
    assert page.words.count("777") == 1
    assert {"night", "locust", "2.47.0"} <= set(page.words)
    for one in summary["failures"]:
        assert one["message"] is None or one["message"] in page.words


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


def workers(text: str) -> list[list[str]]:
    """The cells of each worker's row, its name first."""
    [body] = re.findall(r'<table class="workers">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_workers_and_audit_are_a_section(requests):
    """A row a worker with its counts, times, clock and journal; what is odd stands out, and why is written below."""
    frame, windows = requests
    said_of = [
        said("a-0", "...o", events=["rested"]),
        said("b-1", "..", totals=totals("..", succeeded=3)),
        lost("c-2", "..x", clock=None, joined_s=None, last_heard_s=None, journal=None),
    ]
    audit = account(said_of, table(**{"a-0": "...o", "b-1": "..", "c-2": ".x"}), None)
    text = render(summarise(frame, windows, run_id="r") | {"audit": audit}, {})
    page = Page(text)
    assert page.open == []
    assert "Workers and audit" in page.words
    assert workers(text) == [
        ["a-0", "ended", "yes", "4", "4", "3", "1", "0", "0", "0.1 to 61.2", "1.1", "+0.02 \N{PLUS-MINUS SIGN} 0.09", "whole"],
        ["b-1", "ended", "no", "2", "2", "2", "0", "0", "0", "0.1 to 61.2", "1.1", "+0.02 \N{PLUS-MINUS SIGN} 0.09", "whole"],
        ["c-2", "lost", "yes", "3", "2", "1", "0", "1", "1", NULL, "1.1", NULL, NULL],
    ]  # fmt: skip
    headings = re.findall(r"<th>([^<]*)</th>", text[text.index('class="workers"') :].partition("</thead>")[0])
    labels = re.findall(r'data-of="([^"]*)"', text)
    assert labels == headings[1:] * 3
    assert re.findall(r'<tr class="(\w+)"><th>([^<]*)<', text) == [("bad", "b-1"), ("odd", "c-2")]
    assert (
        "at least 9 offered = 6 ok + 1 failed + 1 cancelled + at least 1 unaccounted; 8 rows; 3 workers; "
        "DOES NOT RECONCILE (b-1)" in page.words
    )
    assert "a-0: rested." in page.words
    assert "b-1: it signed 2 offered, of which 3 ended; it signed 3 succeeded, the table has 2." in page.words


def test_a_run_without_an_audit_has_no_such_section(requests):
    """Older runs; and one without workers still has its line."""
    frame, windows = requests
    summary = summarise(frame, windows, run_id="r")
    assert "Workers and audit" not in render(summary, {})
    assert "Workers and audit" not in render(summary | {"audit": None}, {})
    page = render(summary | {"audit": account([], table(), None)}, {})
    assert "<p>0 offered = 0 ok + 0 failed + 0 cancelled; 0 rows; reconciles</p>" in page


def test_workers_words_are_escaped(requests):
    """Names, states and events of other machines; of very many events the first ten."""
    frame, windows = requests
    evil = [said(EVIL, ".", state=EVIL, events=[EVIL] * 30), said("b", "..")]
    audit = account(evil, table(**{EVIL: "..", "b": "..", EVIL + "2": "."}), 1)
    page = Page(render(summarise(frame, windows, run_id="r") | {"audit": audit}, {}))
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert "and 20 more." in page.text
    assert page.text.count("<script>alert(1)</script>") == 1 + 4 + 2 + 10


def tiles(text: str) -> list[list[str]]:
    """Figure, what and where of each tile."""
    found = re.findall(r"<div><b[^>]*>(.*?)</b><span>(.*?)</span><small>(.*?)</small></div>", text)
    return [list(map(unescape, one)) for one in found]


def test_an_incomplete_or_empty_run_still_makes_a_page(requests):
    """With a banner, and neither charts nor rates."""
    table, _ = requests
    text = render(summarise(table[:0], [], run_id="r", incomplete=["lost"]), {})
    page = Page(text)
    assert "These results are incomplete" in page.words
    assert tiles(text) == [["0", "requests succeeded", "of 0; 0 did not"]]
    assert "<svg" not in text
    assert page.open == []


def test_a_run_without_a_success_headlines_no_rate(requests):
    """Tokens may have arrived of requests that failed; the page counts these, and lists why before all else."""
    table, windows = requests
    failed = table[table["outcome"] == "failed"].assign(output_tokens=5)
    summary = summarise(failed, windows, run_id="r", planned=len(failed) + 4)
    assert max(level["system_output_tokens_per_s"] or 0 for level in summary["levels"]) > 0
    text = render(summary, {})
    assert tiles(text) == [
        ["0", "requests succeeded", f"of {len(failed) + 4}; {len(failed) + 4} did not"],
        [str(len(failed)), "requests failed", "in all phases"],
        ["4", "requests unsent", "in all phases"],
    ]
    assert "<svg" not in text
    assert text.index("Failures in all phases") < text.index("<h2>Levels")


def test_answers_that_are_not_streamed_headline_what_there_is(requests):
    """No first token and no rate after it: their whole rate and E2E instead, and no chart is empty."""
    table, windows = requests
    whole = table[(table["outcome"] == "ok") & ~table["streamed"]]
    summary = summarise(whole, [w for w in windows if w.level == 1], run_id="r")
    page = render(summary, {})
    found = tiles(page)
    level = max(summary["levels"], key=lambda one: one["system_output_tokens_per_s"] or 0)
    assert [what for _, what, _ in found][1:3] == [
        "prompt and output tokens/s for each request",
        "end to end",
    ]
    assert [figure for figure, _, _ in found][1:3] == [
        number(level["request_total_tokens_per_s"]["median"]),
        f"{number(level['e2e_ms']['p95'])} ms",
    ]
    assert NULL not in "".join(figure for figure, _, _ in found)
    assert "End to end, ms" in page
    assert "Time to first token" not in page
    assert "not measured" not in page.split('class="charts"')[1].split("<h2>Levels")[0]
    assert tiles(render(summarise(whole, [], run_id="r"), {}))[0][0] == "not measured"  # no window closed


@pytest.mark.parametrize(
    ("settings", "title", "sub"),
    [
        ({"run_name": "night"}, "night", "run r-1"),
        (
            {"run_name": "night", "backend": "openai", "model": "m", "host": "http://h"},
            "night",
            "openai \N{MIDDLE DOT} m \N{MIDDLE DOT} http://h \N{MIDDLE DOT} run r-1",
        ),
        (
            {"backend": "openai", "model": "m", "host": "http://h"},
            "openai \N{MIDDLE DOT} m \N{MIDDLE DOT} http://h",
            "run r-1",
        ),
        ({}, "r-1", ""),
    ],
)
def test_the_title_says_what_was_tested_and_the_run_id_stands_there_once(requests, settings, title, sub):
    """The run's name, else backend, model and host."""
    table, windows = requests
    text = render(summarise(table, windows, run_id="r-1"), settings)
    [(head, below)] = re.findall(r'<h1>(.*?)</h1><p class="sub">(.*?)</p>', text, re.DOTALL)
    assert (unescape(head), unescape(below).strip()) == (title, sub)


def test_the_day_is_said_once(requests):
    """And both days of a run over midnight."""
    table, windows = requests
    summary = summarise(table, windows, run_id="r")
    one_day = {"started_at": "2026-11-21T04:23:12.785+00:00", "finished_at": "2026-11-21T04:23:48.1+00:00"}
    over_night = {**one_day, "finished_at": "2026-11-22T00:00:01+00:00"}
    assert "2026-11-21 04:23:12 to 04:23:48 UTC" in render(summary, {}, one_day)
    assert "2026-11-21 04:23:12 to 2026-11-22 00:00:01 UTC" in render(summary, {}, over_night)


def test_a_single_level_is_bars(requests):
    """One bar a figure with its value, not a chart of dots; a p99 of few requests is marked here too."""
    table, windows = requests
    summary = summarise(
        table[table["level"] == 1], [window for window in windows if window.level == 1], run_id="r"
    )
    text = render(summary, {})
    ttft = re.findall(r"<svg[^>]*aria-label=\"Time to first token, ms\".*?</svg>", text, re.DOTALL)[0]
    [level] = summary["levels"]
    assert re.findall(r'class="tick y"[^>]*>([^<]*)<', ttft) == ["p50", "p90", "p95", "p99*", "max"]
    widths = list(map(float, re.findall(r'width="([\d.]+)"', ttft)))
    values = [level["ttft_ms"][name] for name in ("p50", "p90", "p95", "p99", "max")]
    assert [width / widths[-1] for width in widths] == pytest.approx(
        [v / values[-1] for v in values], abs=1e-3
    )
    assert text.count("<svg") == 4
    assert "<circle" not in text


def test_settings_stand_in_readable_groups():
    """What was asked for, how much load, of whom, and how long to wait; what no group knows comes last."""
    lane = {"backend": "openai", "path": "/v1/chat/completions", "prompt_tokens": "normal:550,150"}
    server = {"server": "vLLM 0.9", "forces_length": True, "slots": None, "notes": []}
    found = about(
        {
            "host": "http://h", "backend": "openai", "model": "m", "seed": 1, "exact_output": False,
            "levels": [1, 2], "requests_per_level": 40, "warmup": 0, "connect_timeout_s": 10.0, "labels": {"gpu": "a100"},
            "users": {"Chatter": {**lane, "server": server}}, "anchor_unix_ns": 5, "extra_body": {"temperature": 0.5},
            "invented": {"later": [True, 2.5]}, "tokenizer": None,
        }
    )  # fmt: skip
    assert found == [
        (
            "Workload",
            [
                ("prompt tokens", "normal:550,150"), ("path", "/v1/chat/completions"), ("exact output length", "no"),
                ("extra body", "temperature: 0.5"), ("seed", "1"),
            ],
        ),
        ("Load", [("levels, users", "1, 2"), ("measured requests a level", "40"), ("warm-up requests a user", "0")]),
        (
            "Server",
            [
                ("address", "http://h"), ("backend", "openai"), ("model", "m"), ("says it is", "vLLM 0.9"),
                ("can force a length", "yes"),
            ],
        ),
        ("Time limits", [("to connect, s", "10")]),
        ("Labels", [("gpu", "a100")]),
        ("Other settings", [("invented.later", "True, 2.5")]),
    ]  # fmt: skip


def test_several_kinds_of_users_are_told_apart():
    """By their names; what their server says is said once."""
    lanes = {
        name: {"prompt_tokens": size, "server": {"server": "s"}} for name, size in (("A", "30"), ("B", "40"))
    }
    assert about({"users": lanes}) == [
        ("Workload", [("A: prompt tokens", "30"), ("B: prompt tokens", "40")]),
        ("Server", [("says it is", "s")]),
    ]
    assert about({"users": 4, "prompt_tokens": "550"}) == [
        ("Workload", [("prompt tokens", "550")]),
        ("Load", [("users", "4")]),
    ]


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


def test_a_bar_is_as_long_as_its_value_and_none_has_none():
    """From 0; what was not measured says so, and no value divides by zero."""
    svg = bars("t", ["p50", "p95", "p99"], [10.0, 40.0, None], "t2")
    ET.fromstring(svg)  # noqa: S314  our own text
    first, second = map(float, re.findall(r'width="([\d.]+)"', svg))
    assert second / first == pytest.approx(4, rel=1e-3)
    assert re.findall(r'class="at-bar"[^>]*>([^<]*)<', svg) == ["10", "40", "not measured"]
    assert "<rect" not in bars("t", ["a", "b"], [0.0, None])


FRAME_TOP = 20


def texts(svg: str) -> list[tuple[str, Box]]:
    """Every value and line's name of a chart, and what it covers."""
    values = re.findall(r'class="value \w+" x="([\d.]+)" y="([\d.]+)">([^<]*)<', svg)
    names = re.findall(r'class="name \w+" x="([\d.]+)" y="([\d.]+)">([^<]*)<', svg)
    boxes = [
        *((text, Box.of(text, float(x), float(y))) for x, y, text in values),
        *((text, Box.of(text, float(x) + len(text) * CHARACTER / 2, float(y))) for x, y, text in names),
    ]
    edge = 0.1  # to which places are printed
    return [
        (text, Box(box.left + edge, box.top + edge, box.right - edge, box.bottom - edge))
        for text, box in boxes
    ]


LEVELS = st.integers(1, 10)
FIGURES = st.one_of(st.none(), st.floats(0, 1e6, allow_nan=False), st.sampled_from([0.0, 99.0, 100.0, 101.0]))


@settings(deadline=None, derandomize=True)  # a noisy machine or a hair between two labels is no failure
@given(
    rows=LEVELS.flatmap(
        lambda n: st.lists(st.lists(FIGURES, min_size=n, max_size=n), min_size=1, max_size=3)
    ),
    side=st.sampled_from(["above", "below"]),
)
def test_no_text_of_a_chart_covers_another(rows, side):
    """However close the lines are: not one another, nor the title's line, nor the ticks, nor the edge."""
    lines = [Series(f"p{n}", row, f"t{n + 1}", label=side) for n, row in enumerate(rows)]
    found = texts(chart("t", "x", [str(n) for n in range(len(rows[0]))], lines))
    for (_, one), (_, other) in combinations(found, 2):
        assert not one.meets(other)
    for _, box in found:
        assert box.top >= FRAME_TOP
        assert box.bottom <= HEIGHT - 40 + 6
        assert box.left >= 58
        assert box.right <= WIDTH


def test_a_label_stands_at_its_own_point_or_nowhere():
    """Below the lower line where there is room; where another line would be nearer, it is left out."""
    room = Box(0, 0, 500, 300)
    above = (100.0, 110.0)
    plain = {"frame": room, "taken": [], "ink": [], "rivals": [above]}
    assert place("12", (100.0, 150.0), "below", **plain) == (100.0, 169.0)
    tight = {**plain, "frame": Box(60, 0, 140, 155)}  # no room below: only above, where the other point is
    assert place("1234567", (100.0, 150.0), "below", **{**tight, "rivals": [(100.0, 130.0)]}) is None
    crossed = [(100.0 + step, 165.0) for step in range(-8, 9, 4)]
    assert place("12", (100.0, 150.0), "below", **{**plain, "ink": crossed}) == (100.0, 180.0)
