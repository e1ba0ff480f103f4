"""The page in a real Chromium: it draws, asks for nothing, complains of nothing, fits, prints, and lets no text act."""

from pathlib import Path
from typing import Final, Literal

import pandas as pd
import pytest
from devtools import Tab
from report_pages import figures, page, summary_of, sweep

from harness.journal import Window
from harness.record import Outcome
from harness.report.material import Material
from harness.report.page import render
from harness.seconds import Second
from harness.server_metrics import Sample

WIDTHS = (1280, 390)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
PAPER_PX = 688  # A4 between margins of 14 mm, at 96 px to the inch

# What sticks out of the window, unless a box scrolls it; and texts whose own box is too narrow for them.
OUTSIDE = """
(() => {
  const scrolls = (one) => one.closest(".wide, nav ul, .plot");
  return [...document.querySelectorAll("main, main *")].filter((one) => !scrolls(one))
    .filter((one) => one.getBoundingClientRect().right > WIDTH + 0.5)
    .map((one) => one.outerHTML.slice(0, 120));
})()
"""
DRAWN = """
new Promise((done) => {
  const look = () => document.documentElement.dataset.plots === "drawn" ? done(true) : setTimeout(look, 10);
  look();
})
"""
SETTLED = (
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))"
)
# The figures that are not whole inside their frames.
CUT = """
[...document.querySelectorAll(".plot")].filter((plot) => {
  const room = plot.closest("figure").getBoundingClientRect();
  const svg = plot.querySelector("svg.main-svg");
  return !svg || svg.getBoundingClientRect().right > room.right + 0.5 || svg.getBoundingClientRect().height < 100;
}).map((plot) => plot.id)
"""
# Contrast by WCAG 2.1, of what is written on the page's own grounds: the least there is.
CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parts(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [...document.querySelectorAll("main *")].filter((one) => !one.closest(".plot, script"))
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => [light(parts(getComputedStyle(one).color)), light(ground(one))])
    .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  return Math.min(...found);
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sweep, a run of which nothing succeeded, one that sent nothing."""
    folder = tmp_path_factory.mktemp("pages")
    table, windows = sweep(folder, levels=(1, 2, 4, 8), per_level=60)
    failed = table[table["outcome"] == "failed"]
    settings = {
        "backend": "vllm",
        "model": "a/model-8b",
        "host": "http://127.0.0.1:8000",
        "levels": [1, 2, 4, 8],
    }
    made = {
        "sweep": (table, windows, summary_of(table, windows, "ttft_p95<57ms", "error_rate<0.5%")),
        "failed": (failed, windows, summary_of(failed, windows, "ttft_p95<57ms", planned=99)),
        "empty": (table[:0], [], summary_of(table[:0], [], incomplete=["no request was sent"])),
    }
    found = {}
    for name, (rows, spans, summary) in made.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(page(rows, spans, summary=summary, settings=settings), encoding="utf-8")
    return found


def open_page(tab: Tab, path: Path) -> None:
    """Go there and wait until its figures are drawn, if it has any."""
    tab.open(path)
    if tab.run("document.querySelector('.plot') !== null"):
        assert tab.run(DRAWN)


@pytest.mark.parametrize("name", ["sweep", "failed", "empty"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_asks_for_nothing_and_complains_of_nothing(
    tab: Tab, pages: dict[str, Path], name: str, width: int
) -> None:
    """At both widths, by day and then, without loading it again, by night; every text can be told from its ground."""
    tab.view(width)
    open_page(tab, pages[name])
    for scheme in SCHEMES:
        tab.view(width, scheme=scheme)
        tab.run(SETTLED)
        assert tab.complaints == []
        assert tab.asked_for == []
        assert tab.run(OUTSIDE.replace("WIDTH", str(width))) == []
        assert tab.run("document.documentElement.scrollWidth") == width
        assert tab.run(CUT) == []
        assert tab.run(CONTRAST) >= 4.5
        bright = tab.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
        assert (bright > 128) == (scheme == "light")


def test_every_figure_is_drawn_and_none_is_sent_anywhere(tab: Tab, pages: dict[str, Path]) -> None:
    """Each place holds a drawing; no control offers to share or upload one, and no text is a link."""
    tab.view(1280)
    open_page(tab, pages["sweep"])
    drawn = tab.run(
        "[...document.querySelectorAll('.plot')].filter(p => p.querySelector('svg.main-svg')).map(p => p.id)"
    )
    assert drawn == [f"plot-{key}" for key in figures(pages["sweep"].read_text())]
    offered = tab.run("[...document.querySelectorAll('.modebar-btn')].map(one => one.dataset.title || '')")
    assert offered
    assert not [one for one in offered if "share" in one.lower() or "plotly" in one.lower()]
    assert tab.run("document.querySelectorAll('.plot a').length") == 0


def test_without_javascript_the_figures_alone_are_missing(tab: Tab, pages: dict[str, Path]) -> None:
    """A note says so; every table is there."""
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(pages["sweep"])
    assert "The charts need JavaScript" in tab.run("document.querySelector('noscript').innerText")
    assert tab.run("document.querySelectorAll('#levels tbody tr').length") >= 4
    assert tab.complaints == []


def test_on_paper_it_is_light_and_nothing_is_cut(tab: Tab, pages: dict[str, Path], tmp_path: Path) -> None:
    """Also for a reader whose screen is dark: white ground, dark ink, figures as wide as the sheet at most."""
    tab.view(1280, scheme="dark")
    open_page(tab, pages["sweep"])
    tab.view(PAPER_PX, scheme="dark", media="print")
    tab.run(SETTLED)
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (
        tab.run("getComputedStyle(document.querySelector('section')).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert tab.run(CONTRAST) >= 4.5
    assert tab.run(CUT) == []
    assert (
        tab.run(
            "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth + 0.5).length"
        )
        == 0
    )
    ink = tab.run(
        "getComputedStyle(document.querySelector('.plot .xtick text')).fill.match(/\\d+/g).map(Number)"
    )
    assert max(ink) < 140
    assert tab.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    more = "document.querySelector('details li').checkVisibility({contentVisibilityAuto: true})"
    assert tab.run(more)  # what unfolds on a screen is unfolded on paper
    tab.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes()[:5] == b"%PDF-"


ACT = "document.documentElement.dataset.acted = 1"
HOSTILE = [
    f"<script>{ACT}</script>",
    f"</script><script>{ACT}</script>",
    f'"><img src=x onerror="{ACT}">',
    f"<svg onload='{ACT}'>",
    f'<a href="javascript:{ACT}">x</a><b>bold</b>',
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.txt\N{LINE SEPARATOR}\x00\x1b[31m",
    "<!--<script>",
    "constructor",
    "__proto__",
    "x" * 1_000_000,
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with such texts in every place that has one."""
    folder = tmp_path_factory.mktemp("hostile")
    table, windows = sweep(folder, levels=(1, 2, 4), per_level=60)
    words = [HOSTILE[at % len(HOSTILE)] for at in range(len(table))]
    failed = (table["outcome"] == str(Outcome.FAILED)).tolist()
    errors = [word if bad else None for word, bad in zip(words, failed, strict=True)]
    for name, column in (
        ("error_class", errors),
        ("error_message", errors),
        ("name", words),
        ("worker", words),
    ):
        table[name] = pd.Series(column, index=table.index, dtype=object)
    every = " ".join(HOSTILE)
    points = {
        str(level): {
            "users": 0,
            "kind": "arrivals",
            "title": HOSTILE[level],
            "value": None,
            "rate": None,
            "text": "",
        }
        for level in (1, 2, 4)
    }
    summary = summary_of(
        table, windows, "ttft_p95<57ms", run_id=every, points=points, incomplete=HOSTILE,
        findings=[("suspect", word) for word in HOSTILE],
    )  # fmt: skip
    settings = {
        **dict.fromkeys(("run_name", "model", "host", "backend", "tokenizer", "template"), every),
        "labels": {word: word for word in HOSTILE},
        "extra_body": dict.fromkeys(HOSTILE, every),
    }
    run = {"host": {"name": every}, "versions": dict.fromkeys(HOSTILE, every), "started_at": every}
    path = folder / "report.html"
    path.write_text(page(table, windows, summary=summary, settings=settings, run=run), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_acts(tab: Tab, hostile: Path, width: int) -> None:
    """Nothing ran, nothing was asked for, no element came of it, no page was widened, and the figures are there."""
    tab.view(width)
    open_page(tab, hostile)
    assert tab.run("document.documentElement.dataset.acted") is None
    assert tab.complaints == []
    assert tab.asked_for == []
    assert (
        tab.run(
            "document.querySelectorAll('img, main b > *, iframe, main svg[onload], [onerror], [onclick]').length"
        )
        == 0
    )
    assert tab.run("document.querySelectorAll('.plot a, main a[href^=javascript]').length") == 0
    assert tab.run("[...document.scripts].filter(one => !one.type).length") == 2
    assert tab.run(OUTSIDE.replace("WIDTH", str(width))) == []
    assert tab.run("document.documentElement.scrollWidth") == width
    assert tab.run(CUT) == []
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in tab.run("document.body.innerText")
    assert hostile.stat().st_size < 6_000_000


def test_markup_that_got_in_all_the_same_could_not_act(
    tab: Tab, pages: dict[str, Path], tmp_path: Path
) -> None:
    """The policy holds where escaping would have failed: no foreign script runs, no address is asked."""
    text = pages["failed"].read_text(encoding="utf-8")
    inside = f"<script>{ACT}</script><img src=http://127.0.0.1:9/x.png onerror='{ACT}'><form action=http://127.0.0.1:9/>"
    path = tmp_path / "spoilt.html"
    path.write_text(text.replace("<main>", f"<main>{inside}"), encoding="utf-8")
    tab.open(path)
    tab.run("fetch('http://127.0.0.1:9/').catch(() => 0)")
    assert tab.run("document.documentElement.dataset.acted") is None
    refused = [one for one in tab.complaints if "Content Security Policy" in one]
    assert len(refused) >= 3


def test_the_servers_and_the_clients_own_course_are_drawn(tab: Tab, tmp_path: Path) -> None:
    """With their seconds and looks in the material, there are figures of them."""
    table, windows = sweep(tmp_path, levels=(2,), per_level=60, repeats=1)
    start = min(window.start_ns for window in windows)
    seconds = [
        Second(time_ns=start + at * 10**9, worker="w1", seconds=1.0, cpu_percent=10.0 + at) for at in range(5)
    ]
    looks = [
        Sample(time_ns=start + at * 10**9, system="vLLM", running=2.0 + at, queued=0.0) for at in range(5)
    ]
    summary = summary_of(table, windows)
    bare = page(table, windows, summary=summary)
    material = Material(
        summary=summary, run={}, requests=table, windows=[Window(2, 1, start, start + 5 * 10**9)],
        seconds=seconds, samples=looks,
    )  # fmt: skip
    path = tmp_path / "watched.html"
    path.write_text(render(material), encoding="utf-8")
    open_page(tab, path)
    assert tab.complaints == []
    assert len(figures(path.read_text())) >= len(figures(bare)) + 2
