"""The page: well formed, self-contained, safe, and with the summary's numbers. What a browser makes of it: test_report_browser."""

import hashlib
import re
from base64 import b64encode
from html import unescape

import pytest
from report_pages import EVIL, Page, figures, page, summary_of, sweep, tiles
from test_audit import lost, said, table, totals

from harness import carried
from harness.audit import account
from harness.grid import NULL, number
from harness.report.embed import scripts
from harness.report.material import Chart
from harness.report.settings import about

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """The synthetic sweep's table and windows."""
    return sweep(tmp_path_factory.mktemp("t"), per_level=60)


@pytest.fixture(scope="module")
def text(requests):
    """Its page."""
    return page(*requests, settings={"model": "m", "prompt_tokens": "70"})


def parts(text: str) -> dict[str, str]:
    """The HTML of each part by its anchor."""
    pieces = re.split(r'<div class="part" id="([\w-]+)">', text)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def test_the_page_is_well_formed_and_needs_nothing_else(text):
    """Tags nest; no style sheet, image or font from anywhere; links only to its parts and its neighbours."""
    found = Page(text)
    assert found.open == []
    names = {tag for tag, _ in found.tags}
    assert not names & {"link", "img", "iframe", "object", "base", "form", "svg"}
    assert [attrs for tag, attrs in found.tags if tag == "script" and "src" in attrs] == []
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    linked = {attrs["href"] for _, attrs in found.tags if "href" in attrs}
    inside = {one for one in linked if one.startswith("#")}
    assert linked - inside == {"requests.parquet", "client.csv", "run.json", "summary.json", "levels.csv"}
    assert inside <= {f"#{attrs['id']}" for _, attrs in found.tags if "id" in attrs}
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|https?:", style)


def test_its_policy_allows_its_own_scripts_and_no_address(text):
    """Digests of exactly the scripts that are there; nothing inline besides, nothing from anywhere."""
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    run = [body for attrs, body in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL) if not attrs]
    digests = {f"'sha256-{b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in run}
    assert len(run) == 2  # plotly's and ours
    assert set(rules["script-src"].split()) == digests
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "connect-src" not in rules
    assert not re.search(r"https?:|\*", policy)


def test_a_script_that_would_end_its_element_is_never_written():
    """Ours and plotly's do not; should one ever, the page is not made."""
    with pytest.raises(ValueError, match="end of a script element"):
        list(scripts(["let a = '</SCRIPT >'"]))
    assert list(scripts(["1 < 2"])) == ["<script>1 < 2</script>"]


def test_verdict_and_headline_first_then_charts_then_tables(text):
    """In the order of reading; the list of contents has each part once, in the same order."""
    order = ["charts", "levels", "passes", "failures", "tokens", "settings", "definitions"]
    assert list(parts(text)) == order
    assert re.findall(r'<li><a href="#([\w-]+)">', text) == order
    places = [text.index(what) for what in ("<h1>", 'id="verdict"', 'class="tiles"', "<nav", 'id="charts"')]
    assert places == sorted(places)


def test_every_chart_has_its_place_its_title_and_its_figure(text):
    """One element each, in figures with captions; the data beside it, and not a word of it markup."""
    plots = re.findall(r'^<div class="plot" id="plot-([\w-]+)"', text, re.MULTILINE)
    assert len(plots) == len(set(plots)) >= 8
    assert list(figures(text)) == plots
    assert text.count("<figcaption><h3>") == len(plots)
    for data in re.findall(
        r'^<script type="application/json" id="data-[\w-]+">(.*)</script></figure>$', text, re.MULTILINE
    ):
        assert not re.search("[<>&\u2028\u2029]", data)
    assert text.count("<noscript>") == 1


def test_a_figures_text_cannot_leave_its_element(requests, monkeypatch):
    """Whatever a chart is called and holds: it comes back as it was, and opens or ends nothing."""
    nasty = "</script><script>alert(1)</script><!--\u2028\u2029 & ]]>"
    chart = Chart(key="nasty", title=nasty, note=nasty, figure={"data": [{"name": nasty}], "layout": {}})
    monkeypatch.setattr("harness.report.page.charts.charts", lambda _: iter([chart]))
    text = page(*requests)
    assert Page(text).open == []
    assert figures(text) == {"nasty": chart.figure}
    assert text.partition("<footer>")[0].count("<script") == 1


def rows(part: str, at: int = 0) -> list[list[str]]:
    """The cells of the rows of a part's table, without tags."""
    body = re.findall(r"<tbody>(.*?)</tbody>", part.replace("\n", ""))[at]
    return [
        [
            unescape(re.sub(r"<.*?>", " ", cell)).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
        ]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body)
    ]


def test_the_page_shows_the_summarys_numbers(requests):
    """Every cell of the level table, the totals, the verdict and its reasons."""
    table, windows = requests
    summary = summary_of(table, windows, planned=777)
    text = page(
        table,
        windows,
        summary=summary,
        settings={"run_name": "night"},
        run={"versions": {"locust": "2.47.0"}},
    )
    found = Page(text)
    for row, level in zip(rows(parts(text)["levels"]), summary["levels"], strict=True):
        between = level["intervals"]["system_output_tokens_per_s"]
        assert row[:4] == [
            str(level["concurrency"]),
            f"{level['succeeded']}/{level['requests']}",
            number(level["prompt_tokens"]["mean"]),
            number(level["output_tokens"]["mean"]),
        ]
        assert row[4] == (
            f"{number(level['system_output_tokens_per_s'])} {number(between['low'])} to {number(between['high'])}"
        )
        assert row[5].split()[0] == number(level["system_total_tokens_per_s"])
        assert row[9:12] == [number(level["ttft_ms"]["p50"]), number(level["ttft_ms"]["p95"]), f"{NULL}*"]
        assert row[-1] == number(level["e2e_ms"]["p95"] / 1e3)
    for reason in summary["verdict"]["reasons"]:
        assert reason in found.text
    assert found.words.count("777") == 1
    assert {"night", "locust", "2.47.0"} <= set(found.words)
    for one in summary["failures"]:
        assert one["message"] is None or one["message"] in found.words
    assert f"{NULL}* {carried.says(['p99'])}" in found.words


def test_each_pass_has_a_row_and_their_means_an_interval(requests):
    """From the summary; a run of one pass has no such part."""
    table, windows = requests
    summary = summary_of(table, windows)
    text = page(table, windows, summary=summary)
    found = iter(rows(parts(text)["passes"]))
    for level in summary["levels"]:
        for one in level["passes"]:
            assert next(found) == [
                str(level["concurrency"]),
                str(one["repeat"]),
                f"{one['succeeded']}/{one['requests']}",
                number(one["system_output_tokens_per_s"]),
                number(one["requests_per_s"]),
                number(one["request_output_tokens_per_s"]["median"]),
                number(one["ttft_ms"]["p50"]),
                f"{NULL}*" if one["ttft_ms"]["n"] < 59 else number(one["ttft_ms"]["p95"]),
                number(one["tpot_ms"]["p50"]),
                number(one["e2e_ms"]["p50"], scale=1e-3),
            ]
        system = level["intervals"]["system_output_tokens_per_s"]
        mean = next(found)
        assert mean[1] == "mean"
        assert mean[3] == f"{number(system['mean'])} {number(system['low'])} to {number(system['high'])}"
    assert next(found, None) is None
    assert "Student&#x27;s t" in text
    alone = table[table["repeat"] == 1]
    assert "passes" not in parts(page(alone, [window for window in windows if window.repeat == 1]))


def test_a_percentile_that_is_carried_has_no_star(tmp_path):
    """1,000 requests carry a p99, and then there is no footnote of it."""
    records, windows = sweep(tmp_path, levels=(8,), per_level=1400, repeats=1)
    text = page(records, windows)
    [level] = summary_of(records, windows)["levels"]
    assert level["ttft_ms"]["n"] >= 1000
    assert rows(parts(text)["levels"])[0][11] == number(level["ttft_ms"]["p99"])
    assert "withheld where there were fewer" not in Page(text).text
    assert " to " not in rows(parts(text)["levels"])[0][4]  # one pass has no interval


def test_tokens_asked_and_got_are_of_the_same_requests(requests):
    """Means over requests where both are known, computed again from the table."""
    table, windows = requests
    text = page(table, windows)
    ok = table[(table["phase"] == "measure") & (table["outcome"] == "ok")]
    for row in rows(parts(text)["tokens"]):
        mine = ok[ok["level"] == int(row[0])]
        for at, what in ((1, "prompt_tokens"), (7, "output_tokens")):
            both = mine[mine[f"requested_{what}"].notna() & mine[what].notna()]
            asked, got = both[f"requested_{what}"].astype(float), both[what].astype(float)
            assert row[at : at + 6] == [
                str(len(both)),
                number(asked.mean()),
                number(got.mean()),
                str(((got / asked - 1).abs() <= 0.01).sum()),
                str((got < asked).sum()),
                str((got > asked).sum()),
            ]


def test_failures_have_examples_and_say_in_which_levels(requests):
    """Kinds with the first message of each; then measured failures by class and level, computed again."""
    table, windows = requests
    text = parts(page(table, windows))["failures"]
    failed = table[table["outcome"] == "failed"]
    for count, word, status, message in rows(text):
        kind = failed[failed["error_class"] == word]
        assert int(count) == len(kind)
        assert status == (NULL if kind["http_status"].isna().all() else "429")
        assert message == (NULL if kind["error_message"].isna().all() else kind["error_message"].iloc[0])
    measured = failed[failed["phase"] == "measure"]
    *by_class, share = rows(text, 1)
    for word, *counts in by_class:
        here = measured[measured["error_class"] == word]
        assert list(map(int, counts)) == [(here["level"] == level).sum() for level in (1, 2, 4)]
    every = table[table["phase"] == "measure"].groupby("level").size()
    assert share[1:] == [f"{number(100 * (measured['level'] == n).sum() / every[n])} %" for n in (1, 2, 4)]


def test_whatever_came_from_outside_is_escaped(requests):
    """Names, settings, reasons, errors and the client's words are text, never markup."""
    table, windows = requests
    table = table.copy()
    for name in ("error_class", "error_message"):
        table[name] = table[name].astype(object).where(table["outcome"] != "failed", EVIL)
    table["name"] = [EVIL if at % 2 else "chat" for at in range(len(table))]
    summary = summary_of(
        table,
        windows,
        run_id=EVIL,
        incomplete=[EVIL],
        findings=[("suspect", EVIL)],
        client={EVIL: {"x": EVIL}},
    )
    settings = {"run_name": EVIL, "model": EVIL, "host": EVIL, EVIL: [EVIL], "label": {EVIL: EVIL}}
    about_it = {"started_at": EVIL, "host": {"name": EVIL}, "versions": {EVIL: EVIL}}
    found = Page(page(table, windows, summary=summary, settings=settings, run=about_it))
    assert found.open == []
    assert [attrs for tag, attrs in found.tags if tag == "script"].count({}) == 2
    assert "img" not in {tag for tag, _ in found.tags}
    assert found.text.count("<script>alert(1)</script>") >= 20


def test_a_text_of_a_megabyte_is_told_by_its_beginning(requests):
    """In every place; what is left out is counted, and the page stays small."""
    table, windows = requests
    long = "\N{RIGHT-TO-LEFT OVERRIDE}<b>" + "x" * MEGABYTE
    table = table.copy()
    table["error_message"] = table["error_message"].astype(object).where(table["outcome"] != "failed", long)
    summary = summary_of(table, windows, run_id=long, incomplete=[long], findings=[("suspect", long)])
    settings = {"run_name": long, "model": long, "host": long, "other": long, "labels": {long: long}}
    plain = page(table, windows, summary=summary_of(table, windows))
    text = page(table, windows, summary=summary, settings=settings)
    assert len(text) < len(plain) + 60_000
    assert f"({len(long):,} characters)" in text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text


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
    text = page(frame, windows, summary=summary_of(frame, windows) | {"audit": audit})
    found = Page(text)
    assert found.open == []
    assert "Workers and audit" in found.words
    assert workers(text) == [
        ["a-0", "ended", "yes", "4", "4", "3", "1", "0", "0", "0.1 to 61.2", "1.1", "+0.02 \N{PLUS-MINUS SIGN} 0.09", "whole"],
        ["b-1", "ended", "no", "2", "2", "2", "0", "0", "0", "0.1 to 61.2", "1.1", "+0.02 \N{PLUS-MINUS SIGN} 0.09", "whole"],
        ["c-2", "lost", "yes", "3", "2", "1", "0", "1", "1", NULL, "1.1", NULL, NULL],
    ]  # fmt: skip
    headings = re.findall(r"<th>([^<]*)</th>", text[text.index('class="workers"') :].partition("</thead>")[0])
    labels = re.findall(r'data-of="([^"]*)"', text)
    assert labels == headings[1:] * 3
    assert re.findall(r'<tr class="(bad|odd)"><th>([^<]*)<', text) == [("bad", "b-1"), ("odd", "c-2")]
    assert (
        "at least 9 offered = 6 ok + 1 failed + 1 cancelled + at least 1 unaccounted; 8 rows; 3 workers; "
        "DOES NOT RECONCILE (b-1)" in found.words
    )
    assert "a-0: rested." in found.words
    assert (
        "b-1: it signed 2 offered, of which 3 ended; it signed 3 succeeded, the table has 2." in found.words
    )


def test_a_run_without_an_audit_has_no_such_section(requests):
    """Older runs; and one without workers still has its line."""
    frame, windows = requests
    summary = summary_of(frame, windows)
    assert "Workers and audit" not in page(frame, windows, summary=summary)
    assert "Workers and audit" not in page(frame, windows, summary=summary | {"audit": None})
    text = page(frame, windows, summary=summary | {"audit": account([], table(), None)})
    assert "<p>0 offered = 0 ok + 0 failed + 0 cancelled; 0 rows; reconciles</p>" in text


def test_workers_words_are_escaped(requests):
    """Names, states and events of other machines; of very many events the first ten."""
    frame, windows = requests
    evil = [said(EVIL, ".", state=EVIL, events=[EVIL] * 30), said("b", "..")]
    audit = account(evil, table(**{EVIL: "..", "b": "..", EVIL + "2": "."}), 1)
    found = Page(page(frame, windows, summary=summary_of(frame, windows) | {"audit": audit}))
    assert found.open == []
    assert "img" not in {tag for tag, _ in found.tags}
    assert "and 20 more." in found.text
    assert found.text.count("<script>alert(1)</script>") == 1 + 4 + 2 + 10


def test_an_empty_run_says_so_first_and_has_no_chart(requests):
    """With a banner, and neither charts nor rates nor the scripts that would draw them."""
    table, _ = requests
    summary = summary_of(table[:0], [], incomplete=["lost"])
    text = page(table[:0], [], summary=summary)
    found = Page(text)
    banner = text.partition('id="verdict">')[2].partition("</section>")[0]
    assert re.findall("<strong>(.*?)</strong>", banner) == [
        "No request was sent. There is nothing to measure",
        "These results are incomplete",
    ]
    assert text.index('id="verdict"') < text.index('class="tiles"')
    assert tiles(text) == [["0", "requests succeeded", "of 0; 0 did not"]]
    assert not {tag for tag, _ in found.tags} & {"script", "figure", "noscript"}
    assert "script-src &#x27;none&#x27;" in text or "script-src 'none'" in text
    assert found.open == []
    assert len(text) < 50_000


def test_a_run_that_sent_nothing_of_its_plan_says_so(requests):
    """Planned requests are not sent ones."""
    table, _ = requests
    text = page(table[:0], [], summary=summary_of(table[:0], [], planned=40))
    assert "No request was sent" in text
    assert tiles(text) == [
        ["0", "requests succeeded", "of 40; 40 did not"],
        ["40", "requests unsent", "in all phases"],
    ]


def test_a_run_without_a_success_headlines_no_rate(requests):
    """Tokens may have arrived of requests that failed; the page counts these, and lists why before all else."""
    table, windows = requests
    failed = table[table["outcome"] == "failed"].assign(output_tokens=5)
    summary = summary_of(failed, windows, planned=len(failed) + 4)
    assert max(level["system_output_tokens_per_s"] or 0 for level in summary["levels"]) > 0
    text = page(failed, windows, summary=summary)
    assert f"<strong>None of {len(failed)} requests succeeded." in text
    assert tiles(text) == [
        ["0", "requests succeeded", f"of {len(failed) + 4}; {len(failed) + 4} did not"],
        [str(len(failed)), "requests failed", "in all phases"],
        ["4", "requests unsent", "in all phases"],
    ]
    drawn = set(re.findall('id="plot-(.*?)"', text))
    assert {"timeline", "over-time"} <= drawn
    assert not drawn & {"rates", "passes", "tradeoff", "ttft", "e2e"}
    assert next(iter(parts(text))) == "failures"


def test_an_incomplete_run_says_so_above_its_figures(requests):
    """And what it has is shown all the same."""
    table, windows = requests
    text = page(table, windows, summary=summary_of(table, windows, incomplete=["interrupted"]))
    assert text.index("These results are incomplete") < text.index('class="tiles"')
    assert "<figure" in text


def test_many_doubts_unfold(requests):
    """The first of them stand there, the others are one click away and lost to nobody."""
    table, windows = requests
    reasons = [f"reason {n}" for n in range(9)]
    summary = summary_of(table, windows, findings=[("suspect", one) for one in reasons])
    told = summary["verdict"]["reasons"]
    banner = page(table, windows, summary=summary).partition('id="verdict">')[2].partition("</section>")[0]
    shown, _, more = banner.partition("<details>")
    assert f"and {len(told) - 6} more" in more
    assert [unescape(one) for one in re.findall("<li>(.*?)</li>", shown + more)] == told
    assert shown.count("<li>") == 6


def test_answers_that_are_not_streamed_headline_what_there_is(requests):
    """No first token and no rate after it: their whole rate and E2E instead."""
    table, windows = requests
    whole = table[(table["outcome"] == "ok") & ~table["streamed"]]
    windows = [w for w in windows if w.level == 1]
    summary = summary_of(whole, windows)
    found = tiles(page(whole, windows, summary=summary))
    level = max(summary["levels"], key=lambda one: one["system_output_tokens_per_s"] or 0)
    assert [what for _, what, _ in found][1:3] == [
        "prompt and output tokens/s for each request",
        "end to end",
    ]
    assert [figure for figure, _, _ in found][1:3] == [
        number(level["request_total_tokens_per_s"]["median"]),
        f"{number(level['e2e_ms']['median'])} ms",
    ]
    assert found[2][2].startswith("median, ")  # of so few, a p95 is withheld
    assert NULL not in "".join(figure for figure, _, _ in found)
    assert tiles(page(whole, []))[0][0] == "not measured"  # no window closed


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
    text = page(table[:0], windows, summary=summary_of(table[:0], windows, run_id="r-1"), settings=settings)
    [(head, below)] = re.findall(r'<h1>(.*?)</h1><p class="sub">(.*?)</p>', text, re.DOTALL)
    assert (unescape(head), unescape(re.sub("<.*?>", "", below)).strip()) == (title, sub)


def test_the_day_is_said_once(requests):
    """And both days of a run over midnight."""
    table, windows = requests
    empty = table[:0]
    one_day = {"started_at": "2026-11-21T04:23:12.785+00:00", "finished_at": "2026-11-21T04:23:48.1+00:00"}
    over_night = {**one_day, "finished_at": "2026-11-22T00:00:01+00:00"}
    assert "2026-11-21 04:23:12 to 04:23:48 UTC" in page(empty, windows, run=one_day)
    assert "2026-11-21 04:23:12 to 2026-11-22 00:00:01 UTC" in page(empty, windows, run=over_night)


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
