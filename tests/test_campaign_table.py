"""The comparison: its figures out of summaries, who is the best, what it looks like; what switching cost."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pytest

from harness.campaign import figures, table
from harness.campaign.figures import COLUMNS, Round, Row, best
from harness.campaign.switching import Visit, ours_ms, switches, theirs_ms
from harness.campaign.table import Comparison, Switch

DECODE = next(column for column in COLUMNS if column.name == "decode_tokens_per_s")
TTFT = next(column for column in COLUMNS if column.name == "ttft_ms_p50")


def level(
    users: int, decode: float | None, *, ttft: float = 100.0, prefill: float | None = 50.0, **more: object
) -> dict[str, Any]:
    none = {"mean": None, "median": None, "p50": None, "p95": None, "n": 0}
    times = {"mean": ttft, "median": ttft, "p50": ttft, "p95": 2 * ttft, "n": 10}
    return {
        "concurrency": users,
        "succeeded": 10,
        "requests": 10,
        "system_output_tokens_per_s": decode,
        "request_output_tokens_per_s": {"median": 40.0},
        "ttft_ms": times,
        "tpot_ms": {**times, "p50": 25.0},
        "e2e_ms": {**times, "p50": 4000.0},
        "prompt_tokens": {"mean": 200.0, "n": 10},
        "server_prefill_ms": none if prefill is None else {**none, "mean": prefill, "n": 10},
        "cached_tokens": None,
        **more,
    }


def summary(*levels: Mapping[str, Any], status: str = "valid", reasons: Sequence[str] = ()) -> dict[str, Any]:
    return {"levels": list(levels), "verdict": {"status": status, "reasons": list(reasons)}}


def test_figures_are_those_of_the_article() -> None:
    """TGI's table as published: decode in all and per client, scaling against one client; prefill by server time."""
    told = summary(level(1, 49.0), level(4, 189.0), level(16, 686.0))
    found = figures.rows([Round("TGI", 1, told)])
    assert [row.title for row in found] == ["1 user", "4 users", "16 users"]
    per_user = [row.figures["decode_tokens_per_s_per_user"].median for row in found]
    assert per_user == [49.0, 47.25, 42.875]
    assert [row.figures["scaling"].median for row in found] == [1.0, 189 / 49, 14.0]
    assert [row.figures["prefill_tokens_per_s"].median for row in found] == [4000.0] * 3
    assert not any(row.is_lower_bound for row in found)


def test_prefill_without_the_servers_time_is_a_lower_bound() -> None:
    """By TTFT then; tokens from a cache were not read, and do not count."""
    (row,) = figures.rows([Round("a", 1, summary(level(1, 10.0, prefill=None, cached_tokens=500)))])
    assert row.is_lower_bound
    assert row.figures["prefill_tokens_per_s"].median == pytest.approx((200 - 50) / 0.1)


def test_what_was_not_measured_is_left_out() -> None:
    """Never 0."""
    (row,) = figures.rows([Round("a", 1, summary(level(0, None)))])
    assert "decode_tokens_per_s" not in row.figures
    assert "scaling" not in row.figures


def test_rounds_make_a_median_with_its_range() -> None:
    """Three runs of a row; the worst verdict of them counts, requests add up, a missed SLO is missed."""
    rounds = [
        Round("a", number, summary(level(2, decode, slo=[{"met": number != 2}]), status=status))
        for number, (decode, status) in enumerate(((10.0, "valid"), (30.0, "suspect"), (20.0, "valid")), 1)
    ]
    (row,) = figures.rows(rounds)
    assert row.figures["decode_tokens_per_s"] == figures.Figure(20.0, 10.0, 30.0)
    assert (row.rounds, row.succeeded, row.requests, row.verdict, row.slo_met) == (
        3,
        30,
        30,
        "suspect",
        False,
    )


def test_levels_of_another_kind_have_their_own_titles() -> None:
    """A sweep over rates: what the run says, in the order of its keys."""
    levels = [
        level(None, 5.0 * key, level=key, kind="rate", value=float(key), title=f"{key} req/s")  # type: ignore[arg-type]
        for key in (2, 1)
    ]
    found = figures.rows([Round("a", 1, summary(*levels))])
    assert [(row.title, row.kind, row.value) for row in found] == [
        ("1 req/s", "rate", "1"),
        ("2 req/s", "rate", "2"),
    ]
    assert [row.figures["scaling"].median for row in found] == [1.0, 2.0]
    assert "decode_tokens_per_s_per_user" not in found[0].figures


def three(*decodes: Sequence[float], verdicts: Sequence[str] = ("valid",) * 3) -> list[Row]:
    return figures.rows(
        [
            Round(name, number, summary(level(4, value, ttft=1000 / value), status=verdict))
            for name, values, verdict in zip("abc", decodes, verdicts, strict=False)
            for number, value in enumerate(values, 1)
        ]
    )


def test_the_best_at_a_level() -> None:
    """The most tokens, the least time; rows of other levels do not compete."""
    found = three([10.0], [30.0], [20.0])
    assert best(found, DECODE) == {1}
    assert best(found, TTFT) == {1}
    assert best(figures.rows([Round("a", 1, summary(level(1, 1.0), level(2, 2.0)))]), DECODE) == set()


def test_the_best_is_shared_where_rounds_overlap() -> None:
    """One that came up to the best's median in some round is as good."""
    assert best(three([28.0, 32.0], [27.0, 29.0, 30.0], [10.0]), DECODE) == {0, 1}
    assert best(three([28.0, 32.0], [27.0, 29.0, 29.9]), DECODE) == {0}


def test_what_cannot_be_trusted_is_never_the_best() -> None:
    """However good it looks; nor is there a best among equals."""
    assert best(three([10.0], [30.0], [20.0], verdicts=("valid", "invalid", "suspect")), DECODE) == {2}
    assert best(three([10.0], [10.0]), DECODE) == set()


def compared(**more: Any) -> Comparison:
    rounds = [
        Round("np1 quant=Q4", 1, summary(level(1, 49.0), level(4, 60.0, ttft=900.0))),
        Round("np4 quant=Q4", 1, summary(level(1, 48.0), level(4, 163.0, prefill=None), status="suspect")),
    ]
    plain: dict[str, Any] = {
        "name": "slots",
        "rows": figures.rows(rounds),
        "axes": {"np1 quant=Q4": {"quant": "Q4"}, "np4 quant=Q4": {"quant": "Q4"}},
        "targets": {"np1 quant=Q4": "np1", "np4 quant=Q4": "np4"},
        "missing": [("np8 quant=Q4 #1", "failed: no memory")],
        "doubts": [("np4 quant=Q4 (suspect)", "too few requests")],
        "switches": [],
        "done": 2,
        "planned": 3,
        "rounds": 1,
    }
    return Comparison(**plain | more)


def test_the_console_table() -> None:
    """A row a target and level, the best marked, what is missing named, verdicts with their reasons."""
    text = table.as_text(compared(), width=200)
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["campaign", "slots:", "2", "of", "3", "runs"]
    assert lines[5][:8] == ["np1", "Q4", "1", "user", "4000", "49.0*", "49.0*", "1.0"]
    assert lines[8][:10] == [
        "np4",
        "Q4",
        "4",
        "users",
        "~2000",
        "163.0*",
        "40.8*",
        "3.40*",
        "10/10",
        "suspect",
    ]
    assert "  - np8 quant=Q4 #1: failed: no memory" in text
    assert "  - np4 quant=Q4 (suspect): too few requests" in text
    assert max(map(len, table.as_text(compared()).splitlines())) <= 110


def test_the_markdown_table() -> None:
    """One table; the best are bold."""
    text = table.as_markdown(compared())
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert rows[0][:7] == [
        "target",
        "quant",
        "level",
        "tok/s prefill",
        "tok/s decode",
        "tok/s per user",
        "scaling",
    ]
    assert rows[5][:7] == ["np4", "Q4", "4 users", "~2000", "**163.0**", "**40.8**", "**3.40**"]
    assert len({len(row) for row in rows}) == 1
    assert "- np8 quant=Q4 #1: failed: no memory" in text


def test_the_csv_table() -> None:
    """Full figures, a line a row; missing runs are lines of their own."""
    lines = list(csv.DictReader(io.StringIO(table.as_csv(compared()))))
    assert [(line["target"], line["quant"], line["level"]) for line in lines[:4]] == [
        ("np1", "Q4", "1 user"),
        ("np1", "Q4", "4 users"),
        ("np4", "Q4", "1 user"),
        ("np4", "Q4", "4 users"),
    ]
    assert float(lines[3]["scaling"]) == 163 / 48
    assert lines[3]["prefill_is_lower_bound"] == "yes"
    assert "decode_tokens_per_s" in lines[3]["best"].split()
    assert lines[4] == {
        **dict.fromkeys(lines[4], ""),
        "target": "np8 quant=Q4 #1",
        "missing": "failed: no memory",
    }


def test_several_rounds_say_how_much_they_differ() -> None:
    """Half the range of decode, in % of its median."""
    rounds = [
        Round("a", number, summary(level(1, decode))) for number, decode in enumerate((90.0, 100.0, 110.0), 1)
    ]
    names: dict[str, Any] = {"axes": {"a": {}}, "targets": {"a": "a"}}
    text = table.as_text(compared(rows=figures.rows(rounds), rounds=3, **names), width=200)
    assert "10.0%      3" in text


def test_switches_are_told_by_both_formulas() -> None:
    """Seconds, how many, and how many could not be seen."""
    told = [Switch("coe", "e", "f", (900.0, 1100.0, 1000.0), (), count=4, hidden=1)]
    text = table.as_text(compared(switches=told), width=200)
    (line,) = [line.split() for line in text.splitlines() if " coe " in f" {line} "]
    assert line == [
        "coe",
        "e",
        "f",
        "1.0",
        "0.9",
        "1.1",
        "3",
        "\N{EN DASH}",
        "0",
        *("1", "of", "4:", "preflight", "=", '"no"', "shows", "it"),
    ]


S = 1_000_000_000


def request(sent_s: float, ttft_ms: float | None, **more: object) -> dict[str, object]:
    sent = int(sent_s * S)
    first = None if ttft_ms is None else sent + int(ttft_ms * 1e6)
    plain = {
        "sent_ns": sent,
        "first_content_ns": first,
        "end_ns": (first or sent) + S,
        "ttft_ms": ttft_ms,
        "e2e_ms": (ttft_ms or 0) + 1000.0,
        "level": 2,
        "outcome": "ok",
        "streamed": True,
        "server_ttft_ms": None,
    }
    return plain | more


def frame(*rows: dict[str, object]) -> pd.DataFrame:
    found = pd.DataFrame(rows)
    for name in ("sent_ns", "first_content_ns", "end_ns", "level"):
        found[name] = found[name].astype("Int64")
    return found.astype({"ttft_ms": "float64", "e2e_ms": "float64", "server_ttft_ms": "float64"})


def test_our_switching_time() -> None:
    """What the first waited beyond the others; those that waited for the same switch, or at another level, are no others."""
    found = frame(
        request(0.1, 4900.0),  # waited for the same switch
        request(0.0, 5000.0, level=0),  # while users were started; sent first, though not first in the table
        request(6.0, 200.0),
        request(7.0, 100.0),
        request(8.0, 300.0),
        request(9.0, 9000.0, level=8),
        request(9.5, None, outcome="failed"),
    )
    assert ours_ms(found) == 5000.0 - 200.0


def test_our_switching_time_of_whole_answers_is_by_e2e() -> None:
    """There is no TTFT."""
    found = frame(
        request(0.0, None, streamed=False, e2e_ms=4000.0, end_ns=4 * S),
        request(5.0, None, streamed=False, e2e_ms=1000.0),
        request(3.0, None, streamed=False, e2e_ms=1000.0),
    )
    assert ours_ms(found) == 3000.0


def test_our_switching_time_is_unknown() -> None:
    """If the first failed, or nothing came after it."""
    assert ours_ms(frame(request(0.0, 5.0, outcome="failed"), request(1.0, 5.0))) is None
    assert ours_ms(frame(request(0.0, 5000.0), request(1.0, 5.0))) is None
    assert ours_ms(frame(request(0.0, 5.0)).iloc[:0]) is None


def test_sambanovas_switching_time() -> None:
    """Groups of the same server TTFT in order of end; 3 of one are a batch of 4, as 4 are; max - min among those."""
    times = [900.0] * 3 + [100.0] * 4 + [5000.0] * 2
    rows = [request(float(at), 1.0, server_ttft_ms=ttft) for at, ttft in enumerate(times)]
    assert theirs_ms(frame(*reversed(rows))) == 800.0
    assert theirs_ms(frame(request(0.0, 1.0))) is None


def visit(at: int, model: str | None, host: str | None = "h", *, is_done: bool = True) -> Visit:
    return Visit(f"{at}", host, model, at, is_done)


def test_a_switch_is_another_model_at_the_same_server() -> None:
    """In the order in which runs were made; not after a failed one, nor where a server was started for it."""
    visits = [
        visit(3, "b"), visit(1, "a"), visit(2, "a", "other"), visit(4, "b"), visit(5, "a"),
        visit(6, "b", is_done=False), visit(7, "a"), visit(8, None), visit(9, "b"), visit(10, "c", None),
    ]  # fmt: skip
    assert [(before.key, after.key) for before, after in switches(visits)] == [("1", "3"), ("4", "5")]


def with_p95(name: str, value: float, *sizes: int) -> list[Round]:
    """Rounds of a row whose p95 of TTFT is of so many requests each."""
    return [
        Round(
            name,
            at,
            summary(level(4, 10.0, ttft_ms={"mean": 1.0, "median": 1.0, "p50": 1.0, "p95": value, "n": n})),
        )
        for at, n in enumerate(sizes, 1)
    ]


def test_a_p95_of_too_few_requests_is_withheld() -> None:
    """One round with fewer than 59 is enough: a dash with a star, never the best; campaign.csv has the number."""
    rounds = [
        *with_p95("few", 100.0, 59, 58),
        *with_p95("fast", 200.0, 59, 60),
        *with_p95("slow", 300.0, 99, 99),
    ]
    found = figures.rows(rounds)
    p95 = next(column for column in COLUMNS if column.name == "ttft_ms_p95")
    assert [sorted(row.withheld) for row in found] == [["ttft_ms_p95"], [], []]
    assert best(found, p95) == {1}
    whole = Comparison(
        name="c",
        rows=found,
        axes={row.name: {} for row in found},
        targets={row.name: row.name for row in found},
        missing=(),
        doubts=(),
        switches=(),
        done=6,
        planned=6,
        rounds=2,
    )
    text, markdown = table.as_text(whole), table.as_markdown(whole)
    assert "\N{EN DASH}* p95 needs 59 requests: withheld where there were fewer." in text
    cells = {
        name: " ".join(line for line in text.splitlines() if line.split()[:1] == [name]).split()
        for name in ("few", "fast", "slow")
    }
    assert [row.count("\N{EN DASH}*") for row in cells.values()] == [1, 0, 0]
    assert "200.0*" in cells["fast"]
    assert "300.0" in cells["slow"]
    assert "| \N{EN DASH}\\* |" in markdown
    assert "**\N{EN DASH}**" not in markdown
    assert "**200.0**" in markdown
    few, fast, _ = csv.DictReader(io.StringIO(table.as_csv(whole)))
    assert (few["ttft_ms_p95"], few["withheld"], fast["withheld"]) == ("100.0", "ttft_ms_p95", "")
