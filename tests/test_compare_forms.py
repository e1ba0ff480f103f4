"""The forms of a comparison: console, Markdown, HTML, JSON. Hostile text acts in none; figures are plotly's; numbers agree."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from compared import directory, level, noisy, two_levels
from devtools import Tab

from harness.compare import as_json, console, markdown, page, wording
from harness.compare.charts import charts
from harness.compare.comparison import Comparison, compare
from harness.compare.judge import Options
from harness.compare.rules import read as rules

HOSTILE = (
    "<script>window.hit=1</script><img src=x onerror=window.hit=1>\u202e\x1b[31mred\x00\nnew | line `code` **bold** [x](http://evil) "
    "@someone &lt; $x$ </script> " + "A" * 1_000_000
)
DRAWN = """
new Promise((done) => {
  const look = () => document.documentElement.dataset.plots === "drawn" ? done(true) : setTimeout(look, 20);
  look();
})
"""
FORMS: dict[str, Callable[[Comparison], str]] = {
    "console": console.render,
    "markdown": markdown.render,
    "page": page.render,
    "json": as_json.render,
}


@pytest.fixture
def slow(tmp_path: Path) -> Comparison:
    base = directory(tmp_path / "base", two_levels("base"))
    new = directory(tmp_path / "new", two_levels("new", ttft_ms=1.05), model="other")
    return compare([base, new], Options())


@pytest.fixture
def hostile(tmp_path: Path) -> Comparison:
    """Names, model, labels, reasons and titles that would act if they could; with a rule and a level left over."""

    def edit(run: dict[str, Any], summary: dict[str, Any]) -> None:
        run["versions"][HOSTILE[:50]] = HOSTILE
        summary["verdict"] = {"status": "suspect", "reasons": [HOSTILE]}

    levels = [
        level(2, noisy(name), title=HOSTILE if name != "three" else f"two {HOSTILE}")
        for name in ("one", "three")
    ]
    names = ("base", "new", "third")
    (tmp_path / "hostile").mkdir()
    made = [
        directory(
            tmp_path / "hostile" / name,
            levels if name != "third" else levels[:1],
            run_name=f"{name} {HOSTILE}",
            model=HOSTILE,
            labels={HOSTILE[:40]: f"{name}{HOSTILE}"},
            edit=edit,
        )
        for name in names
    ]
    return compare(made, Options(rules=rules(["ttft_p95>+10%"])))


class _Elements(HTMLParser):
    """What a browser would make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, str] = {}
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = str(dict(attrs).get("id")) if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.data[self._in] = self.data.get(self._in, "") + data

    def handle_endtag(self, _tag: str) -> None:
        self._in = ""


@pytest.mark.parametrize("form", FORMS)
def test_hostile_text_is_inert(hostile: Comparison, form: str) -> None:
    """No control character, no direction mark, no tag of theirs; a megabyte stays out."""
    told = FORMS[form](hostile)
    shown = told if form != "page" else re.sub(r"<script>.*?</script>", "", told, flags=re.DOTALL)
    assert not [c for c in shown if not c.isprintable() and c != "\n"]
    assert "\u202e" not in told
    if form != "json":  # which has the whole truth, in ASCII
        assert len(shown) < 200_000
    if form == "markdown":
        assert "<script" not in told
        assert "<img" not in told
        assert not re.search(r"@someone|http://|\*\*bold|\[x\]\(|`code", told)
        outside = re.sub(r"```text\n.*?\n```", "", told, flags=re.DOTALL)
        for line in outside.splitlines():
            if line.startswith("|"):
                assert line.count("|") in {8, 7, 11}, line
    if form == "page":
        seen = _Elements()
        seen.feed(told)
        assert not any(
            tag == "img" or any(name.startswith("on") for name in attributes) for tag, attributes in seen.tags
        )
        scripts = [attributes for tag, attributes in seen.tags if tag == "script"]
        assert [one for one in scripts if one.get("type") != "application/json"] == [{}, {}]


def test_hostile_text_is_inert_between_two(tmp_path: Path) -> None:
    """The form for two runs, with its strips, has its own tables."""
    made = [
        directory(tmp_path / name, [level(2, noisy(name), title=HOSTILE)], run_name=f"{name}{HOSTILE}")
        for name in ("base", "new")
    ]
    found = compare(made, Options())
    told = markdown.render(found)
    assert told.count("```") == 2
    assert "<script" not in told
    assert len(told) < 20_000
    assert "\x1b" not in console.render(found)


def test_numbers_agree_between_the_forms(slow: Comparison) -> None:
    """What JSON has is what the tables show, to their digits."""
    data = json.loads(as_json.render(slow))
    text, table = console.render(slow), markdown.render(slow)
    assert data["verdict"] == "regression"
    assert data["exit_code"] == 3
    for one in data["new"][0]["figures"]:
        if one["unit"] == "share":
            continue
        shown = f"{100 * one['change']:+.1f}%"
        between = f"{100 * one['low']:+.1f} .. {100 * one['high']:+.1f}%"
        assert re.search(rf"{re.escape(shown)} +{re.escape(between)}", text)
        assert between in table
        assert 1 + one["change"] == pytest.approx(one["new"] / one["base"])
    assert "**WORSE**" in table
    assert "### tokenswarm compare: regression" in table


def test_strips_stand_where_their_numbers_are(slow: Comparison) -> None:
    """Clearly worse is right of the line at no change."""
    lines = re.search(r"```text\n(.*?)\n```", markdown.render(slow), re.DOTALL)[1].splitlines()
    (ttft,) = [line for line in lines if line.startswith("2 users, TTFT p50")]
    assert ttft.index("|") < ttft.index("[") < ttft.index("o") <= ttft.index("]")
    assert len(lines) == 14 + 1


def test_every_figure_is_plotlys(slow: Comparison, hostile: Comparison) -> None:
    """Both runs are in each figure of a level; plotly's own checker takes them all."""
    for found in (slow, hostile):
        drawn = list(charts(found))
        assert len({one.key for one in drawn}) == len(drawn) > 7
        for one in drawn:
            assert re.fullmatch(r"[a-z0-9-]+", one.key)
            go.Figure(json.loads(json.dumps(one.figure, allow_nan=False)))
            if one.key != "changes":
                assert len(one.figure["data"]) == len(found.new) + 1


def test_bars_of_a_chart_are_students_interval(slow: Comparison) -> None:
    """Of the first level's TTFT: mean of the logs, t of 9 degrees of freedom."""
    (chart,) = [one for one in charts(slow) if one.key == "ttft-p50"]
    base, new = chart.figure["data"]
    cell = slow.found[0].cell
    assert base["y"][0] == pytest.approx(cell.base, rel=1e-4)
    assert new["y"][0] == pytest.approx(cell.new, rel=1e-4)
    mean = cell.difference.base
    half = 2.262157 * mean.variance**0.5
    assert base["error_y"]["array"][0] == pytest.approx(cell.base * (2.718281828**half - 1), rel=1e-3)


def test_changes_that_leave_every_scale_are_numbers(tmp_path: Path) -> None:
    """A thousand times as much, and next to nothing."""
    base = directory(tmp_path / "base", [level(2, noisy("b", sd=0.5, passes=2))])
    new = directory(tmp_path / "new", [level(2, noisy("n", sd=0.5, passes=2, ttft_ms=5e3, e2e_ms=1e-6))])
    found = compare([base, new], Options())
    for form in FORMS.values():
        assert "nan" not in form(found).split("<script>")[0].lower().replace("nanosecond", "")
    assert wording.change(found.found[0].cell, 4999.0) == "x5000"
    assert wording.change(found.found[0].cell, float("inf")) == "over x1M"


def test_the_page_in_a_browser(tab: Tab, slow: Comparison, hostile: Comparison, tmp_path: Path) -> None:
    """Every figure is drawn, nothing is asked for, nothing acts, and it fits a telephone."""
    for name, found in (("slow", slow), ("hostile", hostile)):
        path = tmp_path / f"{name}.html"
        path.write_text(page.render(found), encoding="utf-8")
        for width in (1280, 390):
            tab.view(width)
            tab.open(path)
            assert tab.run(DRAWN)
            assert tab.run("document.querySelectorAll('.plot .main-svg').length > 0")
            assert tab.run("window.hit") is None
            assert tab.run("document.documentElement.scrollWidth") <= width
            assert tab.complaints == []
            assert tab.asked_for == []
