"""What the terminal shows: the right number under the right heading, in the width there is."""

import re

import pytest
from synthetic_run import BASE_NS, record, run
from test_audit import lost, said, table

from harness.audit import account
from harness.errors import ErrorClass
from harness.grid import clean, columns, number
from harness.journal import Window
from harness.length_says import lengths
from harness.maritaca_says import is_asked
from harness.maritaca_says import render as maritaca
from harness.metrics import summarise
from harness.record import Outcome, Phase, RequestRecord
from harness.rows import load, write
from harness.tables import render

S = 1_000_000_000


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """(requests, summary) of the synthetic sweep."""
    records, windows = run()
    path = tmp_path_factory.mktemp("t") / "requests.parquet"
    write(path, records)
    requests = load(path)
    return requests, summarise(requests, windows, run_id="sweep-1", planned=len(records))


def level_rows(text: str) -> list[list[str]]:
    """The cells of the level table's lines that begin with a number."""
    lines = re.split("passes: 95 %|all phases: |by the server's", text, maxsplit=1)[0].splitlines()
    return [line.split() for line in lines if line.strip()[:1].isdigit()]


def test_each_level_is_a_row_with_its_figures_in_order(sweep):
    """Users, successes of all, mean sizes, system rates, request rates, TTFT, TPOT, E2E in seconds."""
    _, summary = sweep
    table = level_rows(render(summary, {}))
    assert len(table) == 3
    for cells, level in zip(table, summary["levels"], strict=True):
        rate, ttft, tpot, e2e = (
            level[name] for name in ("request_output_tokens_per_s", "ttft_ms", "tpot_ms", "e2e_ms")
        )
        assert cells == [
            str(level["concurrency"]),
            f"{level['succeeded']}/{level['requests']}",
            number(level["prompt_tokens"]["mean"]),
            number(level["output_tokens"]["mean"]),
            number(level["system_output_tokens_per_s"]),
            number(level["system_total_tokens_per_s"]),
            *(number(rate[p]) for p in ("p10", "median", "p90")),
            number(ttft["p50"]),
            "\N{EN DASH}*",
            "\N{EN DASH}*",
            number(tpot["p50"]),
            "\N{EN DASH}*",
            number(e2e["p50"] / 1e3),
            "\N{EN DASH}*",
        ]


def test_percentiles_are_shown_where_so_many_requests_carry_them(sweep):
    """A p95 of 59, a p99 of 1,000, a p10 of 29; one fewer is a dash with a star, and the footnote says why."""
    _, summary = sweep

    def of(n):
        times = {"p50": 1.5, "p95": 2.5, "p99": 3.5, "n": n}
        rates = {"p10": 4.5, "median": 5.5, "p90": 6.5, "n": n}
        level = summary["levels"][0] | dict.fromkeys(("ttft_ms", "tpot_ms", "e2e_ms"), times)
        text = render({**summary, "levels": [level | {"request_output_tokens_per_s": rates}]}, {})
        return level_rows(text)[0][6:12], " ".join(text.split())

    few = "\N{EN DASH}*"
    assert of(1000)[0] == ["4.5", "5.5", "6.5", "1.5", "2.5", "3.5"]
    assert of(999)[0] == ["4.5", "5.5", "6.5", "1.5", "2.5", few]
    assert of(58)[0] == ["4.5", "5.5", "6.5", "1.5", few, few]
    assert of(28)[0] == [few, "5.5", few, "1.5", few, few]
    assert few not in of(1000)[1]
    assert f"{few} p99 needs 1,000 requests: withheld where there were fewer." in of(59)[1]
    lacking = f"{few} p10 needs 29 requests, p90 29, p95 59, p99 1,000: withheld where there were fewer."
    assert lacking in of(1)[1]


def test_kinds_of_requests_have_their_percentiles_withheld_too(tmp_path):
    """By name, each of its own number of requests: 60 of the one carry a p95, 10 of the other do not."""
    records = [
        record(
            f"{name}{n}",
            name=name,
            first_content_ns=BASE_NS + 5 * S,
            last_content_ns=BASE_NS + 6 * S,
            chunks=1,
        )
        for name, many in (("chat", 60), ("rag", 10))
        for n in range(many)
    ]
    write(tmp_path / "t", records)
    text = render(summarise(load(tmp_path / "t"), [], run_id="x"), {})
    _, table = text.split("by request name")
    chat, rag = (line.split() for line in table.splitlines()[3:5])
    assert (chat[1], chat[6:8], chat[9:]) == ("chat", ["5000", "5000"], ["6.0", "6.0"])
    assert (rag[1], rag[6:8], rag[9:]) == ("rag", ["5000", "\N{EN DASH}*"], ["6.0", "\N{EN DASH}*"])
    assert table.splitlines()[5].startswith("\N{EN DASH}* p95 needs 59 requests")


def test_passes_have_their_intervals_in_a_table(sweep):
    """The system's rate and medians, mean, low and high; nothing of a single pass, and a dash where a level has none."""
    _, summary = sweep
    text = render(summary, {})
    _, table = text.split("passes: 95 % confidence intervals\n")
    rows = [line.split() for line in table.splitlines()[3:6]]
    paths = ("system_output_tokens_per_s", "request_output_tokens_per_s.median", "ttft_ms.p50", "tpot_ms.p50")
    for cells, level in zip(rows, summary["levels"], strict=True):
        told = [level["intervals"][path][part] for path in paths for part in ("mean", "low", "high")]
        assert cells[:14] == [str(level["concurrency"]), "2", *map(number, told)]
    assert "(Student's t)" in " ".join(table.split())
    assert max(map(len, text.splitlines())) <= 110
    single = [level | {"intervals": {}} for level in summary["levels"]]
    assert "95 %" not in render({**summary, "levels": single}, {})
    mixed = [*single[:1], *summary["levels"][1:]]
    after = render({**summary, "levels": mixed}, {}).split("passes: 95 %")[1].splitlines()
    assert after[4].split() == ["1", "2", *["\N{EN DASH}"] * 15]


def test_the_text_says_verdict_totals_failures_and_place(sweep, tmp_path):
    """Every reason is printed; totals add up on their own line; the folder is named last."""
    _, summary = sweep
    text = render(summary, {"model": "gemma", "host": "http://h"}, run_dir=tmp_path)
    assert text.startswith("tokenswarm  sweep-1  gemma  http://h\nmeasured windows: ")
    flat = " ".join(text.split())
    totals = summary["totals"]
    assert (
        f"{totals['offered']} offered = {totals['succeeded']} succeeded + {totals['failed']} failed" in flat
    )
    for reason in summary["verdict"]["reasons"]:
        assert " ".join(reason.split()) in flat
    assert f"verdict: {summary['verdict']['status'].upper()}" in text
    assert "\N{EN DASH}* p95 needs 59 requests, p99 1,000: withheld where there were fewer." in flat
    assert text.endswith(f"results: {tmp_path}\n")


def test_an_incomplete_run_carries_a_banner(sweep):
    """Before the table, with its reasons."""
    requests, _ = sweep
    summary = summarise(requests, [], run_id="x", incomplete=["worker w3 was lost", "disk full"])
    text = render(summary, {"results_dir": "out"})
    assert "\nINCOMPLETE: worker w3 was lost; disk full\n" in text
    assert text.index("INCOMPLETE") < text.index("users")
    assert text.endswith("results: out/x\n")


@pytest.mark.parametrize("width", [110, 90, 60])
def test_no_line_is_wider_than_asked(sweep, width):
    """Also with the widest numbers that the columns allow; a narrow one gets more blocks, not fewer figures."""
    _, summary = sweep
    big = {"mean": 123456.7, "median": 99999.4, "std": 1.0, "n": 999, "max": 1e7}
    big |= dict.fromkeys(["p5", "p10", "p50", "p90", "p95", "p99"], 88888.8)
    names = ("request_output_tokens_per_s", "ttft_ms", "tpot_ms", "e2e_ms")
    level = {**summary["levels"][0], **dict.fromkeys(names, big), "requests": 999_999, "succeeded": 999_999}
    level |= {
        "system_output_tokens_per_s": 98765.4,
        "system_total_tokens_per_s": 98765.4,
        "concurrency": 10_000,
    }
    text = render({**summary, "levels": [level]}, {}, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert [heading in text for heading in ("system tok/s", "TTFT ms", "E2E s")] == [True] * 3
    assert sum(row.count("88889") for row in level_rows(text)) == 6  # of TTFT, TPOT and request rates
    assert sum(row.count("\N{EN DASH}*") for row in level_rows(text)) == 1


def test_a_usual_sweep_fits_into_one_block(sweep):
    """All columns beside one another in 110, the groups three spaces apart where there is room, two where not."""
    _, summary = sweep
    text = render(summary, {})
    heads, *_ = [line for line in text.splitlines() if line.startswith("users")]
    names = "users ok/all prompt output output total p10 median p90 p50 p95 p99 p50 p95 p50 p95"
    assert " ".join(heads.split()) == names
    groups = [("", ["a"], [["1"]]), ("", ["b"], [["2"]])]
    assert columns(groups, 5) == ["", "a   b", "-   -", "1   2"]
    assert columns(groups, 4) == ["", "a  b", "-  -", "1  2"]
    assert columns([*groups, ("", ["c"], [["3"]])], 4) == [
        "",
        "a  b",
        "-  -",
        "1  2",
        "",
        "",
        "a  c",
        "-  -",
        "1  3",
    ]


def sized(tmp_path, sizes: list[int], **fields) -> dict:
    """The summary of requests that were asked for 100 tokens and gave these."""
    asked = {"requested_output_tokens": 100, "prompt_tokens": 30, "requested_prompt_tokens": 30, "chunks": 1}
    records = [record(str(n), **{**asked, **fields}, output_tokens=size) for n, size in enumerate(sizes)]
    write(tmp_path / "t", records)
    return summarise(load(tmp_path / "t"), [Window(1, 1, BASE_NS, BASE_NS + S)], run_id="x")


def test_answers_that_ended_by_themselves_are_a_note(tmp_path):
    """No doubt, but said under the table."""
    summary = sized(tmp_path, [100] * 6 + [21] * 4, finish_reason="stop")
    note = "level 1: 4 of 10 answers were shorter than asked (median 21 of 100 tokens), 4 of them ended by themselves"
    assert summary["verdict"]["status"] == "valid"
    assert lengths(summary) == [note]
    assert f"lengths: {note}" in " ".join(render(summary, {}).split())


def test_small_differences_are_a_note_and_none_is_not(tmp_path):
    """Also what is within a tenth is said, if it is anything at all."""
    assert lengths(sized(tmp_path, [100] * 8 + [99, 95, 104])) == [
        "level 1: of 11 answers 2 shorter and 1 longer than asked, but not by much"
    ]
    assert lengths(sized(tmp_path, [100] * 8)) == []


def test_prompts_are_noted_when_a_few_are_off(tmp_path):
    """One of thirty is no doubt yet."""
    records = [
        record(
            str(n), prompt_tokens=10 if n == 3 else 30, requested_prompt_tokens=30, chunks=1, output_tokens=1
        )
        for n in range(30)
    ]
    write(tmp_path / "t", records)
    summary = summarise(load(tmp_path / "t"), [Window(1, 1, BASE_NS, BASE_NS + S)], run_id="x")
    assert summary["verdict"]["status"] == "valid"
    assert lengths(summary) == [
        "level 1: 1 of 30 prompts were counted 10 tokens by the server where 30 were asked"
    ]


def test_what_the_verdict_says_is_not_said_twice(tmp_path):
    """A length that is a doubt stands there, once."""
    summary = sized(tmp_path, [21] * 8, finish_reason="length")
    assert lengths(summary) == []
    assert render(summary, {}).count("8 of 8 answers were shorter than asked (median 21 of 100 tokens)") == 1


ESCAPE = "\x1b]0;owned\x07\x1b[31mred\u202e\nsecond\tline\x9b2J"


def test_failures_are_listed_with_count_class_status_and_text(tmp_path):
    """The commonest first, texts cut to the width; what never got a status or a text has a dash."""
    failed = {"outcome": Outcome.FAILED, "error_class": ErrorClass.OVERLOAD, "http_status": 429}
    records = [
        *(record(f"a{n}", **failed, error_message=f"request {n} is too much for me") for n in range(12)),
        record("b", outcome=Outcome.FAILED, error_class=ErrorClass.CONNECT),
        record("c", **failed, error_message="x" * 400),
    ]
    write(tmp_path / "t", records)
    text = render(summarise(load(tmp_path / "t"), [], run_id="x"), {}, width=60)
    lines = text.splitlines()
    at = lines.index("  12  overload  429  request 0 is too much for me")
    assert lines[at + 1] == "   1  connect     \N{EN DASH}  \N{EN DASH}"
    assert lines[at + 2] == "   1  overload  429  " + "x" * 36 + "..."
    assert lines[at - 2 : at] == [
        "failures in all phases: how many, class, HTTP status, what",
        "the first of them said",
    ]


def test_nothing_that_came_from_outside_steers_the_terminal(tmp_path):
    """Servers' texts, reasons, names and places are one printable line each."""
    failed = {"outcome": Outcome.FAILED, "error_class": ErrorClass.BAD_STREAM, "error_message": ESCAPE}
    write(tmp_path / "t", [record("a", **failed)])
    summary = summarise(
        load(tmp_path / "t"), [], run_id=ESCAPE, incomplete=[ESCAPE], findings=[("suspect", ESCAPE)]
    )
    text = render(
        summary, {"model": ESCAPE, "host": ESCAPE, "results_dir": ESCAPE}, run_dir=tmp_path / ESCAPE
    )
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert text.count("?]0;owned??[31mred? second line?2J") >= 6


def test_cleaned_text_is_one_printable_line():
    """White space becomes a space, what steers a terminal a question mark, letters of any script stay."""
    assert clean("a\r\n b\t\x00c\u200bd é 漢") == "a b ?c?d é 漢"


def test_what_was_not_measured_is_a_dash(sweep):
    """Never 0."""
    requests, _ = sweep
    summary = summarise(requests[requests["outcome"] == "failed"], [], run_id="x")
    assert level_rows(render(summary, {}))[0][2:] == ["\N{EN DASH}"] * 14


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"), (0, "0.0"), (0.034, "0.03"), (7.25, "7.25"), (9.999, "10.00"), (42.25, "42.2"), (999.94, "999.9"),
        (999.96, "1000"), (99_999.4, "99999"), (123_456, "123k"), (999_600, "1.0M"), (-3.5, "-3.5"),
    ],
)  # fmt: skip
def test_numbers_keep_three_digits_and_six_characters(value, text):
    """Precision follows size."""
    assert number(value) == text


def wave_record(name: str, sent: float, seconds: float, output: int, **fields) -> RequestRecord:
    """Prompt of 100 tokens, first token after 0.5 s."""
    start = BASE_NS + round(sent * S)
    end = start + round(seconds * S)
    return record(
        name,
        level=2,
        sent_ns=start,
        first_content_ns=start + S // 2,
        last_content_ns=end,
        end_ns=end,
        prompt_tokens=100,
        output_tokens=output,
        **fields,
    )


def test_maritacas_formulas_by_hand(tmp_path):
    """Waves of two in order of sending: (200+150)/median(2, 4) and (200+150)/median(5, 5); one left over."""
    records = [
        wave_record("b", 1, 4.0, 50, server_decode_ms=2500.0),
        wave_record("a", 0, 2.0, 100),
        wave_record("c", 5, 5.0, 50, server_decode_ms=5000.0),
        wave_record("d", 6, 5.0, 100),
        wave_record("e", 12, 1.0, 10),  # fewer than 100 tokens, and no partner: a row, but in no wave
        wave_record("w", 0, 9.0, 500, phase=Phase.WARMUP),
    ]
    write(tmp_path / "t", records)
    requests = load(tmp_path / "t")
    text = maritaca(requests, summarise(requests, [Window(2, 1, BASE_NS, BASE_NS + S)], run_id="x"))
    rates, system = level_rows(text)
    own = [100 / 1.5, 50 / 2.5, 50 / 5, 100 / 4.5, 10 / 0.5]
    total = [200 / 2, 150 / 4, 150 / 5, 200 / 5, 110 / 1]
    mean_own, mean_total = sum(own) / 5, sum(total) / 5
    assert rates == ["2", *_three(own, mean_own, 20.0), *_three(total, mean_total, 40.0)]
    waves = [350 / 3, 350 / 5]
    assert system == ["2", number(sum(waves) / 2), number((waves[0] - waves[1]) / 2**0.5), "2"]
    flat = " ".join(text.split())
    assert "server's own decode time for 2 requests, the client's E2E - TTFT for 3" in flat
    assert "fewer than 100 tokens are kept" in flat
    assert "Level 2: 1 of 5 requests fill no wave, or are uncounted: left out." in flat


def _three(values: list[float], mean: float, median: float) -> list[str]:
    spread = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    return [number(mean), number(median), number(spread)]


def test_maritacas_waves_do_not_cross_repeats(tmp_path):
    """The last of one pass and the first of the next are no wave."""
    records = [wave_record("a", 0, 1, 100), wave_record("b", 5, 1, 100, repeat=2)]
    write(tmp_path / "t", records)
    requests = load(tmp_path / "t")
    text = maritaca(requests, summarise(requests, [], run_id="x"))
    assert level_rows(text)[1] == ["2", "\N{EN DASH}", "\N{EN DASH}", "0"]
    assert "Level 2: 2 of 2 requests fill no wave" in text


def test_maritacas_tables_fit_the_width(sweep):
    """110 columns by default."""
    assert max(map(len, maritaca(*sweep).splitlines())) <= 110


def test_what_the_server_says_of_its_requests_is_a_table_of_its_own(sweep):
    """Medians by its own clock, beside ours; columns it says nothing for are not there, nor an empty table."""
    _, summary = sweep
    said = render(summary, {}).split("by the server's own word, medians")[1].splitlines()
    names = said[1].split()
    assert names[0] == "users"
    rows = [line.split() for line in said[3 : 3 + len(summary["levels"])]]
    for row, level in zip(rows, summary["levels"], strict=True):
        assert row[0] == str(level["concurrency"])
        known = [
            level[name]["median"] for name in ("server_queue_ms", "server_prefill_ms", "server_decode_ms")
        ]
        assert row[1:] == [number(figure) for figure in known if figure is not None]
    silent = [
        level | {name: spread() for name in level if name.startswith("server_")}
        for level in summary["levels"]
    ]
    assert "by the server's own word" not in render(summary | {"levels": silent}, {})


def spread():
    """Figures of nothing."""
    return {"median": None, "n": 0}


def audited(sweep, *statements, planned=None, **rows) -> str:
    """The report with an audit of these workers; the table of the rest is the sweep's."""
    _, summary = sweep
    return render(summary | {"audit": account(statements, table(**rows), planned)}, {})


def test_the_audit_is_a_line(sweep):
    """In any run that has one, with the table of workers only where there are several."""
    _, summary = sweep
    text = audited(sweep, said("local", "..o", clock=None), local="..o", planned=5)
    line = "audit: 3 offered = 2 ok + 1 failed + 0 cancelled; 3 rows; 2 of 5 planned were never offered; reconciles"
    assert line in text.splitlines()
    assert "clock ms" not in text
    assert "audit" not in render(summary, {})
    assert "audit" not in render(summary | {"audit": None}, {})


def test_several_workers_are_a_table(sweep):
    """Name, state, what became of its requests, clock and silence; the names to the left."""
    workers = [
        said("gpu-a-0", "...o", clock={"offset_ms": -12.345, "uncertainty_ms": 0.09}),
        lost("b-1", "..x", clock=None, longest_silence_s=None),
    ]
    lines = audited(sweep, *workers, **{"gpu-a-0": "...o", "b-1": ".x"}).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("worker"))
    dash = "\N{EN DASH}"
    assert lines[at].split() == [
        *("worker", "state", "offered", "ok", "failed", "cancelled", "unaccounted", "offset", "+/-", "s")
    ]
    assert lines[at + 2].split() == ["gpu-a-0", "ended", "4", "3", "1", "0", "0", "-12.35", "0.09", "1.1"]
    assert lines[at + 3].split() == ["b-1", "lost", "3", "1", "0", "1", "1", dash, dash, dash]
    assert lines[at + 3].startswith("b-1     lost")
    assert " ".join(" ".join(lines[at + 5 : at + 7]).split()) == (
        "audit: at least 7 offered = 4 ok + 1 failed + 1 cancelled + at least 1 unaccounted; 6 rows; 2 workers; reconciles"
    )


def test_an_audit_that_does_not_reconcile_shouts(sweep):
    """With the first worker's name; the numbers are among the reasons."""
    text = audited(sweep, said("a", ".."), said("b", "."), said("c", ".."), a=".", b=".", c=".")
    assert "; 3 workers; DOES NOT RECONCILE (a and 1 more) verdict: " in " ".join(text.split())


def test_of_very_many_workers_the_odd_ones_are_shown(sweep):
    """A line each for those that something happened to, one for all others."""
    well = [said(f"w{n}", ".") for n in range(100)]
    rows = {one["name"]: "." for one in well}
    assert "100 workers, all of them to the end; the report lists them all\n" in audited(sweep, *well, **rows)
    odd = [*well[:98], lost("w98", "."), said("w99", ".", events=["silent for 4.0 s"])]
    text = audited(sweep, *odd, **rows)
    assert re.findall(r"^w\d+ +\w+", text, re.MULTILINE) == ["w98    lost", "w99    ended"]
    assert "and 98 more workers; the report lists them all\n" in text


@pytest.mark.parametrize("width", [110, 60])
def test_workers_names_are_cut_and_cleaned(sweep, width):
    """Long ones in the middle, for pods differ at their ends; none steers the terminal or breaks a line."""
    _, summary = sweep
    pods = [f"tokenswarm-worker-7d9f8b6c5d-{end}-0" for end in ("x2x4q", "p9k2m")]
    evil = "\x1b[31m" + "e" * 100
    audit = account([said(name, ".") for name in (*pods, evil)], table(**{pods[0]: ".", pods[1]: "."}), None)
    text = render(summary | {"audit": audit}, {}, width=width)
    shown = {110: "tokenswarm-wor...f8b6c5d-{}-0", 60: "tokens...{}-0"}[width]
    assert [shown.format(end) in text for end in ("x2x4q", "p9k2m")] == [True, True]
    assert {110: "?[31meeeeeeeee...eeeeeeeeeeeeeee", 60: "?[31me...eeeeeee"}[width] in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("backend", "refill", "limit", "asked"),
    [
        ("vllm", "steady", None, False),
        ("maritalk", "steady", None, True),
        ("maritalk-2023", "steady", None, True),
        ("maritaca", "steady", None, True),
        ("vllm", "waves", None, True),
        ("vllm", "steady", 100, True),
    ],
)
def test_who_gets_maritacas_tables(backend: str, refill: str, limit: int | None, *, asked: bool) -> None:
    """Who runs Maritaca's servers, or their script's experiment; nobody else reads two tables before the one of the run."""
    users = {"A": {"backend": "vllm"}, "B": {"backend": backend}}
    assert is_asked({"users": users, "refill": refill, "drop_answers_under": limit}) is asked
