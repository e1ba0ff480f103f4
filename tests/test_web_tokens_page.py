"""The page "Tokens" in a real browser, over made-up states: what it shows of each, what it survives, and what it asks for."""

import random
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
from devtools import Tab
from locust_runs import until
from tokens_fake import BEGUN, COLUMNS, Fake, level, serving_states, spread, sweep

from harness.client_doubts import rules
from harness.grid import NULL, number
from harness.report.levels import COLUMNS as IN_REPORT
from harness.seconds import Second
from harness.web import tokens_page
from harness.web.site import STATIC

SOON: Final = """(async () => {{
  const ends = performance.now() + 60000;
  while (!({0})) {{
    if (performance.now() > ends) throw new Error("did not come: " + {1} + "; state " + document.getElementById("tokens").dataset.state);
    await new Promise((done) => setTimeout(done, 25));
  }}
}})()"""
EVIL: Final = "<img src=x onerror=alert(1)>\u202egnp.exe\x1b[31m</script><script>alert(2)</script>"
NO_ROWS: Final = {"columns": COLUMNS, "from": 0, "next": 0, "rows": [], "replaced": False}


@pytest.fixture(scope="module")
def page() -> Iterator[Fake]:
    """The page, told what `state` is."""
    with serving_states(base="/load") as fake:
        yield fake


def soon(tab: Tab, condition: str) -> None:
    """Wait until it holds in the page."""
    tab.run(SOON.format(condition, repr(condition)))


def text(tab: Tab, element: str) -> str:
    """What is written in an element, as it is seen."""
    said: str = tab.run(f"document.getElementById('{element}').innerText")
    return said


def look_at(tab: Tab, chart: str) -> None:
    """Bring it into sight, for what is out of sight is drawn seldom; wait until it is there."""
    soon(tab, "!document.getElementById('live').hidden")
    tab.run(f"document.getElementById('figure-{chart}').scrollIntoView()")
    soon(tab, f"document.getElementById('chart-{chart}').data?.length > 0")


def hidden(tab: Tab, element: str) -> bool:
    return bool(tab.run(f"document.getElementById('{element}').getClientRects().length === 0"))


def complaints(tab: Tab) -> list[str]:
    """But for the icon that browsers ask for by themselves."""
    icons = sum(asked.endswith("/favicon.ico") for asked in tab.asked_for)
    missing = "Failed to load resource: the server responded with a status of 404 (NOT FOUND)"
    said = list(tab.complaints)
    for _ in range(min(icons, said.count(missing))):
        said.remove(missing)
    return said


def cells(tab: Tab) -> list[dict[str, Any]]:
    """The level table: by figure its text and raw value, and the row's level, class and first words."""
    found: list[dict[str, Any]] = tab.run(
        "[...document.querySelectorAll('#level-table tbody tr')].map((tr) => ({level: tr.dataset.level, kind: tr.className, "
        "first: tr.firstChild.innerText, cells: Object.fromEntries([...tr.querySelectorAll('td')].map((td) => "
        "[td.dataset.figure, [td.innerText, td.dataset.value ?? null, td.title]]))}))"
    )
    return found


def same(row: dict[str, Any], said: dict[str, Any]) -> None:
    """A row of the table is a level of tokens.json: each raw value to the last digit, each text by the report's rule."""
    for _, columns in IN_REPORT[1:]:
        for _, name, key, scale in columns:
            shown, value, title = row["cells"][f"{name}.{key}" if key else name]
            part = said[name]
            raw = part[key] if key else part
            if key and key in part["withheld"]:
                assert (shown, value) == (f"{NULL}*", None)
                assert title.startswith(f"{key} needs ")
                assert title.endswith(f"here are {part['n']:,}")
            else:
                assert shown == number(raw, scale=scale), (name, key, raw)
                assert (None if value is None else float(value)) == raw, (name, key)


def test_a_run_from_before_its_beginning_to_after_its_end(page: Fake, tab: Tab) -> None:
    """No run; one begins by itself; its charts grow and its table fills in; it is stopped; its report is linked."""
    page.state, page.stopped = {**sweep(1), "run": None, "series": NO_ROWS}, 0
    tab.open(page.url)
    soon(tab, "!document.getElementById('none').hidden")
    assert "No run yet" in text(tab, "none")
    assert tab.run("document.querySelector('#none a').getAttribute('href')") == "/load/"
    assert hidden(tab, "live")
    assert hidden(tab, "head")

    page.state = lambda since: sweep(30, since=since)
    soon(tab, "(document.getElementById('chart-rates').data?.[0].x.length ?? 0) === 30")
    assert hidden(tab, "none")
    assert text(tab, "title") == "nightly sweep"
    assert text(tab, "where") == "step 2 of 5: 2 users, 12 of 60 done"
    assert text(tab, "times") == "0:30 so far, about 1:30 left"
    assert tab.run("document.getElementById('bar').getAttribute('aria-valuenow')") == "25"
    assert (text(tab, "state"), text(tab, "verdict")) == ("running", "so far: valid")
    assert hidden(tab, "report")
    table = cells(tab)
    assert [row["kind"] for row in table] == ["", "now", "later", "later", "later"]
    assert table[1]["first"] == "2so far"
    assert table[0]["cells"]["ok/all"][0] == "29/30"
    assert {shown for shown, *_ in table[4]["cells"].values()} == {NULL}
    last = sweep(30)["series"]["rows"][26]  # that stands; those after it are under way
    assert text(tab, "tile-rate") == number(last[5])

    page.state = lambda since: sweep(60, errors=("overload",), since=since)
    look_at(tab, "errors")
    assert tab.run("document.getElementById('chart-errors').data[0].y.length") > 5
    look_at(tab, "ttft")
    assert tab.run("document.getElementById('chart-ttft').data[0].x.length") == 60
    tab.run("scrollTo(0, 0)")
    soon(tab, "document.getElementById('chart-rates').data[0].x.length === 60")
    assert page.asked[-1] == 60
    assert tab.run("document.getElementById('chart-rates').layout.annotations.map((one) => one.text)") == [
        *("1 user", "2 users", "4 users")
    ]
    tab.run("document.getElementById('stop').click()")
    soon(tab, "document.getElementById('stop').innerText === 'Stopping: requests in flight finish'")
    until(lambda: page.stopped == 1)
    assert tab.run("document.getElementById('stop').disabled")

    done = page.state = sweep(120, state="over", errors=("overload",))
    soon(tab, "document.getElementById('tokens').dataset.state === 'over'")
    assert hidden(tab, "stop")
    assert tab.run("document.getElementById('report').getAttribute('href')").endswith(
        "/load/tokenswarm/results/20261122T101500Z-vllm-a1b2c3/report"
    )
    assert text(tab, "verdict") == "verdict: valid"
    assert text(tab, "levels-state") == "final"
    table = cells(tab)
    for row, said in zip(table, done["levels"], strict=True):
        same(row, said)
    assert text(tab, "tile-rate") == number(done["levels"][-1]["system_output_tokens_per_s"])
    assert complaints(tab) == []
    assert {asked.split("/")[2] for asked in tab.asked_for} == {page.url.split("/")[2]}


def test_numbers_as_the_report_rounds_them(page: Fake, tab: Tab) -> None:
    """One rule in two languages, for whatever a figure can be: magnitudes, ties, the borders of its forms."""
    chance = random.Random(7)
    values = [
        *(0.0, 0.05, 0.125, 0.25, 0.35, 0.375, 2.5, 9.95, 9.995, 10.05, 0.1 + 0.2),
        *(999.94, 999.95, 999.949999999, 99_999.5, 99_998.5, 999_499.9, 999_500.0, 1e6, 2.5e9),
        *(1_234.5, 1_235.5, -2.5, -0.125, -1_234.5, 1e-9, 150.25, 150.75, 100_500.0, 101_500.0),
        *(chance.choice((1, 1, 1, -1)) * 10 ** chance.uniform(-3, 8) for _ in range(1500)),
        *(chance.randrange(1, 2**21) / 8 for _ in range(1500)),
    ]
    page.state = {**sweep(1), "run": None, "series": NO_ROWS}
    tab.open(page.url)
    for scale in (1, 1e-3, 100):
        shown = tab.run(f"{values!r}.map((value) => tokensPage.number(value, {scale}))")
        assert shown == [number(value, scale=scale) for value in values]
    assert (
        tab.run("[null, undefined, NaN, Infinity, '1'].map((value) => tokensPage.number(value))")
        == [NULL] * 5
    )


def test_what_is_not_measured_is_a_dash(page: Fake, tab: Tab) -> None:
    """A run of which nothing is known yet, and one that could not be begun."""
    empty = sweep(3)
    for part in ("progress", "totals", "client"):
        empty[part] = dict.fromkeys(empty[part])
    empty["run"] |= dict.fromkeys(("name", "model", "begun_ms", "slos", "report", "host"))
    empty["run"] |= {"state": "preparing", "backends": []}
    empty |= {"verdict": {"status": "none", "reasons": [], "is_final": False}, "workers": None}
    empty |= {
        "levels": [level(4, 0, "to_come")],
        "segments": [],
        "series": {**empty["series"], "rows": [[BEGUN, *[None] * 21]], "next": 1},
    }
    page.state = empty
    tab.open(page.url)
    soon(tab, "document.getElementById('tokens').dataset.state === 'preparing'")
    for tile in tokens_page.TILES:
        assert text(tab, f"tile-{tile}") == NULL
    assert (text(tab, "state"), text(tab, "verdict")) == ("preparing", "no verdict yet")
    assert text(tab, "title") == empty["run"]["id"]
    assert {shown for shown, *_ in cells(tab)[0]["cells"].values() if shown} == {NULL}
    assert text(tab, "empty-ttft") == "waiting for the first answers"
    assert text(tab, "empty-errors") == "no errors so far"

    page.state = {
        "run": empty["run"] | {"state": "failed", "problem": "--model: no such model"},
        "series": NO_ROWS,
    }
    soon(tab, "document.getElementById('tokens').dataset.state === 'failed'")
    assert text(tab, "problem") == "--model: no such model"
    assert hidden(tab, "levels")
    assert hidden(tab, "stop")
    assert complaints(tab) == []


def test_hostile_words_are_only_words(page: Fake, tab: Tab) -> None:
    """Markup, a right-to-left override, an escape and a megabyte in every text there is: shown, cut, and inert."""
    bad = sweep(120, errors=("x",), workers=2)
    huge = "A" * 1_000_000
    bad["run"] |= {
        "name": EVIL,
        "model": EVIL,
        "host": huge,
        "id": EVIL,
        "problem": EVIL * 900,
        "backends": [EVIL],
    }
    bad["run"]["report"] = "javascript:alert(3)"
    bad["progress"] |= {"title": EVIL, "line": "A" * 9_000}
    bad["verdict"] = {
        "status": EVIL,
        "is_final": False,
        "reasons": [{"status": EVIL, "text": EVIL + huge}, *[{"status": EVIL, "text": EVIL}] * 299],
    }
    bad["errors"] = {EVIL: 4}
    bad["error_series"]["classes"] = ['<a href="https://evil.example">%{x}</a>' + EVIL]
    bad["workers"]["each"][0] |= {"name": EVIL, "state": "A" * 9_000}
    for one in bad["levels"]:
        one |= {"kind": "arrivals", "title": EVIL}
    for one in bad["segments"]:
        one |= {"title": EVIL, "label": EVIL}
    page.state = bad
    tab.view(390)
    tab.open(page.url)
    tab.run("globalThis.alert = () => { globalThis.alerted = true; }")
    look_at(tab, "rates")
    look_at(tab, "errors")
    assert tab.run("globalThis.alerted") is None
    assert (
        tab.run("document.querySelectorAll('main img, main script, main a[href*=evil], main svg a').length")
        == 0
    )
    assert text(tab, "title").startswith("<img src=x onerror=alert(1)>?gnp.exe?[31m</script>")
    assert tab.run("document.body.innerText.length") < 200_000
    assert tab.run("document.body.innerText.includes('\\u202e')") is False
    assert tab.run("document.documentElement.scrollWidth") == 390
    assert tab.run("document.querySelectorAll('#reasons li').length") == 106
    bad["run"] |= {"state": "over"}
    soon(tab, "document.getElementById('tokens').dataset.state === 'over'")
    assert tab.run("document.getElementById('report').protocol") == "http:"
    assert complaints(tab) == []


def test_it_follows_the_seconds(page: Fake, tab: Tab) -> None:
    """Rows sent again take the place of the old ones; merged ones take the place of all; a gap or fewer rows: not followed."""
    page.state = {**sweep(1), "run": None, "series": NO_ROWS}
    tab.open(page.url)
    tab.run("globalThis.one = new tokensPage.Series(); null")

    def told(first: int, until: int, value: int, *, replaced: bool = False) -> Any:
        rows = [[second, value, second < 2] for second in range(first, until)]
        columns = ["t_ms", "system_output_tokens_per_s", "settled"]
        said = {"columns": columns, "from": first, "next": until, "rows": rows, "replaced": replaced}
        tab.run(f"globalThis.follows = one.take({orjson.dumps(said).decode()})")
        return tab.run("[follows, one.next, one.column('system_output_tokens_per_s')]")

    assert told(0, 4, 1) == [True, 4, [1] * 4]
    assert told(3, 6, 2) == [True, 6, [1, 1, 1, 2, 2, 2]]
    assert told(6, 6, 2) == [True, 6, [1, 1, 1, 2, 2, 2]]
    assert tab.run("one.settled()") == [True, True, False, False, False, False]
    assert tab.run("one.latest().t_ms") == 1
    assert told(0, 3, 3, replaced=True) == [True, 3, [3] * 3]
    assert told(5, 6, 4) == [False, 0, []]  # a second is missing
    assert told(0, 6, 5) == [True, 6, [5] * 6]
    assert told(1, 3, 6) == [False, 0, []]  # of a process that began anew
    assert told(0, 20_000, 7)[:2] == [True, 20_000]
    assert tab.run("one.rows.length") == 7200


def test_another_run_takes_the_place_of_the_last(page: Fake, tab: Tab) -> None:
    """The page asks for all of it; nothing of the one before is left."""
    page.state = sweep(40, errors=("dns",), workers=2)
    tab.open(page.url)
    look_at(tab, "rates")
    page.asked.clear()
    page.state = lambda since: sweep(8, since=since, run_id="two")
    soon(tab, "document.getElementById('chart-rates').data[0].x.length === 8")
    assert page.asked[:2] == [40, 0]
    assert text(tab, "what").endswith("run two")
    assert hidden(tab, "workers")
    assert text(tab, "empty-errors") == "no errors so far"
    assert [row["kind"] for row in cells(tab)] == ["now", *["later"] * 4]


def test_without_a_connection(page: Fake, tab: Tab) -> None:
    """What was there stays; a line says what is wrong; it goes on when Locust is back."""
    page.state = sweep(10)
    tab.open(page.url)
    soon(tab, "document.getElementById('tokens').dataset.state === 'running'")
    page.state = 500
    soon(tab, "!document.getElementById('trouble').hidden")
    assert text(tab, "trouble") == "Locust answers with status 500: trying again"
    assert text(tab, "title") == "nightly sweep"
    page.state = 401
    soon(tab, "document.getElementById('trouble').innerText.includes('login')")
    tab.run(
        "globalThis.real = fetch; globalThis.fetch = () => Promise.reject(new TypeError('Failed to fetch'))"
    )
    soon(tab, "document.getElementById('trouble').innerText === 'no connection to Locust: trying again'")
    page.state = sweep(12)
    tab.run("globalThis.fetch = real")
    soon(tab, "document.getElementById('trouble').hidden")
    assert text(tab, "times").startswith("0:12 so far")
    page.stops = False
    tab.run("document.getElementById('stop').click()")
    soon(tab, "document.getElementById('trouble').innerText.startsWith('The run was not stopped: ')")
    asked = len(page.asked)
    until(lambda: len(page.asked) > asked + 1)  # which answers well, and takes the words not away
    assert not hidden(tab, "trouble")
    assert not tab.run("document.getElementById('stop').disabled")
    page.stops = True
    tab.run("document.getElementById('stop').click()")
    soon(tab, "document.getElementById('trouble').hidden")


def test_nothing_is_asked_while_nobody_looks(page: Fake, tab: Tab) -> None:
    """A tab in the background is silent, and up to date as soon as it is looked at."""
    page.state = sweep(10)
    tab.open(page.url)
    soon(tab, "document.getElementById('tokens').dataset.state === 'running'")
    away = "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {}}}); document.dispatchEvent(new Event('visibilitychange'))"
    tab.run(away.format("true"))
    before = len(page.asked)
    tab.run("new Promise((done) => setTimeout(done, 1800))")
    assert len(page.asked) - before <= 1  # that one was on its way
    page.state = sweep(14)
    tab.run(away.format("false"))
    soon(tab, "document.getElementById('times').innerText.startsWith('0:14')")


def test_on_a_phone_in_the_dark(page: Fake, tab: Tab) -> None:
    """No scrolling sideways but inside of tables; colours follow the switch; a view that was chosen stays."""
    busy = sweep(100, errors=("overload", "dns"), workers=3)
    reason = {
        "status": "suspect",
        "text": "the client's event loop was late by 61 ms (p99 of a second, limit 50 ms)",
    }
    busy["verdict"] = {"status": "suspect", "reasons": [reason] * 9, "is_final": False}
    busy["segments"][1]["label"] = "by hand: 1 -> 2 users"
    page.state = busy
    tab.view(390, scheme="dark")
    tab.open(page.url)
    look_at(tab, "rates")
    assert tab.run("document.documentElement.scrollWidth") == 390
    assert text(tab, "verdict") == "so far: suspect"
    assert text(tab, "reasons-count") == "and 3 more"
    assert text(tab, "workers-count") == "3 of 3"
    assert tab.run("document.querySelectorAll('#worker-table tbody tr').length") == 3
    colour = "document.getElementById('chart-rates').data[0].line.color"
    assert tab.run(colour) == "#5fb2f5"
    assert tab.run(
        "document.getElementById('chart-rates').layout.annotations.filter((one) => one.name === 'hand').map((one) => one.text)"
    ) == ["by hand: 1 -&gt; 2 users"]
    tab.run("Plotly.relayout('chart-rates', {'xaxis.range': [20, 40]}).then(() => null)")
    tab.run("localStorage.theme = 'light'; dispatchEvent(new Event('storage'))")
    soon(tab, f"{colour} === '#0b68b0'")
    page.state = sweep(104)
    soon(tab, "document.getElementById('chart-rates').data[0].x.length === 104")
    assert tab.run("document.getElementById('chart-rates').layout.xaxis.range") == [20, 40]
    tab.view(1280)
    soon(tab, "document.getElementById('chart-rates').layout.width > 1000")
    assert tab.run("document.documentElement.scrollWidth") == 1280
    assert complaints(tab) == []


def test_what_the_scripts_know_beforehand() -> None:
    """The limits drawn are those that the verdict goes by; the files are there; every figure of the table is the report's."""
    cpu = next(rule for rule in rules(by_kernel=True, capped=False) if rule.seen.startswith("this worker is"))
    late = next(rule for rule in rules(by_kernel=True, capped=False) if "event loop was late" in rule.seen)
    assert tokens_page.about()["limits"] == {"cpu_percent": cpu.suspect, "lag_ms": late.suspect}
    assert all(
        (STATIC / name).exists() for name in tokens_page.SCRIPTS if name not in ("plotly.js", "change.js")
    )
    assert {"cpu_percent", "loop_lag_ms_p99"} <= set(Second.__dataclass_fields__)
    assert spread(1.0, 58)["withheld"] == ["p1", "p99", "p5", "p95"][1:]
