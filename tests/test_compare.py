"""`tokenswarm compare` as a command: what it says and with which exit code, of run directories made by hand."""

import copy
import json
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import compared
import pytest
import synthetic_run
from compared import directory, level, noisy, two_levels
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import metrics, rows
from harness.cli import main
from harness.compare import comparison
from harness.compare.judge import Options
from harness.compare.rules import read as rules
from harness.errors import ConfigError

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the command; returns (exit code, what it printed or said on stderr)."""

    def run(*args: object) -> tuple[int, str]:
        code = main(["compare", *map(str, args)])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out + told.err

    return run


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return directory(tmp_path / "base", two_levels("base"))


def refusal(say: Say, *args: object) -> str:
    """The one line of a comparison that is refused."""
    code, told = say(*args)
    assert code == 2
    assert told.startswith("tokenswarm compare: error: ")
    assert told.count("\n") == 1
    return told


def test_equal_runs_have_no_regression(base: Path, tmp_path: Path, say: Say) -> None:
    """Ten passes of 1 % noise rule out 5 % everywhere."""
    code, told = say(base, directory(tmp_path / "new", two_levels("new")))
    assert code == 0
    assert "NO REGRESSION: none of 16 figures is worse beyond noise" in " ".join(told.split())


def test_a_slowdown_of_five_per_cent_is_found(base: Path, tmp_path: Path, say: Say) -> None:
    """TTFT at both levels, both percentiles, and nothing else."""
    code, told = say(base, directory(tmp_path / "new", two_levels("new", ttft_ms=1.05)), "--json")
    assert code == 3
    (new,) = json.loads(told)["new"]
    worse = {(one["level"], one["figure"]) for one in new["figures"] if one["word"] == "regression"}
    assert worse == {(f"{users} users", f"ttft_{key}") for users in (2, 4) for key in ("p50", "p95")}
    for one in new["figures"]:
        true = 0.05 if one["figure"].startswith("ttft") else 0.0
        assert one["low"] - 0.01 < true < one["high"] + 0.01


def test_what_equal_runs_may_differ_by_is_no_regression(base: Path, tmp_path: Path, say: Say) -> None:
    """Hardly any noise within runs: 0.8 % is not nothing, but nothing to be told of; 2 % is."""
    quiet = [
        directory(tmp_path / f"quiet{at}", two_levels(at, sd=0.001, ttft_ms=by))
        for at, by in enumerate((1.0, 1.008, 1.02))
    ]
    code, told = say(*quiet[:2], "--json")
    changed = [one for one in json.loads(told)["new"][0]["figures"] if one["figure"].startswith("ttft")]
    assert code == 0
    assert {one["word"] for one in changed} == {"same"}
    assert all(0 < one["low"] < 0.01 and one["p"] < 1e-6 for one in changed)
    assert say(quiet[0], quiet[2])[0] == 3


def test_a_gain_is_said_and_is_no_regression(base: Path, tmp_path: Path, say: Say) -> None:
    """Less TTFT, more tokens/s."""
    new = directory(tmp_path / "new", two_levels("n", ttft_ms=0.9, system_output_tokens_per_s=1.1))
    code, told = say(base, new)
    assert code == 0
    assert told.count("better\n") == 6
    assert "6 of 16 figures better beyond noise" in " ".join(told.split())


def test_a_rate_that_falls_is_worse(base: Path, tmp_path: Path, say: Say) -> None:
    """Rates are better when high."""
    new = directory(tmp_path / "new", two_levels("n", system_output_tokens_per_s=0.95))
    assert say(base, new)[0] == 3


def test_noise_is_inconclusive_and_says_how_many_passes(tmp_path: Path, say: Say) -> None:
    """8 % of noise and five passes: nothing can be told; with as many passes as it says, it can."""
    base = directory(tmp_path / "base", two_levels("b", sd=0.08, passes=5))
    code, told = say(base, directory(tmp_path / "new", two_levels("n", sd=0.08, passes=5)))
    assert code == 6
    needed = int(re.findall(r"--repeats (\d+)", told)[-1])
    assert 20 < needed <= 1000
    many = [directory(tmp_path / name, two_levels(name, sd=0.08, passes=needed)) for name in ("x", "y")]
    assert say(*many)[0] in {0, 3}  # settled, in nine of ten cases; the seed is one of them


def test_one_pass_is_inconclusive_unless_asked_by_point(tmp_path: Path, say: Say) -> None:
    """No interval, and the advice; --by-point judges the bare numbers by the margin."""
    one = directory(tmp_path / "one", two_levels("a", passes=1, sd=0))
    same = directory(tmp_path / "same", two_levels("a", passes=1, sd=0))
    slow = directory(tmp_path / "slow", two_levels("a", passes=1, sd=0, e2e_ms=1.06))
    code, told = say(one, same)
    assert code == 6
    assert "--repeats 10" in told
    assert say(one, same, "--by-point")[0] == 0
    assert say(one, slow, "--by-point")[0] == 3
    assert say(one, slow, "--by-point", "--margin", "10%")[0] == 0
    assert say(one, slow, "--by-point", "--fail-on", "e2e_p50>+5%")[0] == 3
    assert say(one, slow, "--by-point", "--fail-on", "e2e_p50>+7%")[0] == 0


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("ttft_p95>+10%", 3),  # it is 20 % slower
        ("ttft_p95>+30%", 0),
        ("ttft_p95>+20%", 6),  # at the limit
        ("ttft_p95>+30%,ttft_p50>+10%", 3),
        ("error_rate>+1pp", 0),
        ("tpot_p50>+3%", 0),
        ("system_output_tokens_per_s<-5%", 0),
        ("ttft_p95>-5%", 3),  # a gain is asked for
        ("ttft_p99>+10%", 6),  # 60 requests carry no p99
    ],
)
def test_limits_of_ones_own(base: Path, tmp_path: Path, say: Say, rule: str, code: int) -> None:
    """Clearly beyond, clearly within, or not to be told."""
    new = directory(tmp_path / "new", two_levels("new", ttft_ms=1.2))
    assert say(base, new, "--fail-on", rule)[0] == code


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ttft_p95", "write a figure, > or <"),
        ("ttft_p95<-10%", "less of it is better: write e.g. ttft_p95>+10%"),
        ("goodput>+1pp", "less of it is worse: write e.g. goodput<-10pp"),
        ("goodput<5pp", "with its sign: goodput<-5pp"),
        ("ttft>+10%", "which ttft? Write one of ttft_mean"),
        ("chunk_gap_p50>+10%", "no figure called chunk_gap_p50 is compared"),
        ("ttft_p95>+10ms", "per cent"),
        ("error_rate>+1", "percentage points"),
        ("system_output_tokens_per_s<-100%", "nothing changes by so much"),
        ("error_rate>+100pp", "nothing changes by so much"),
        ("", "write a figure"),
    ],
)
def test_limits_that_cannot_be_read(base: Path, say: Say, text: str, why: str) -> None:
    """One line, with what would be right."""
    assert why in refusal(say, base, base, "--fail-on", text)


def test_limits_are_read_to_the_bit() -> None:
    """Shares as parts of one, signs by what is worse."""
    told = rules(["TTFT_p95 > 10 %, system_output_tokens_per_s<=-5%", "error_rate>+0.5pp", "ttft_p95>10%"])
    assert [(one.figure.name, one.worsening, one.text) for one in told] == [
        ("ttft_p95", 0.1, "ttft_p95>+10%"),
        ("system_output_tokens_per_s", 0.05, "system_output_tokens_per_s<-5%"),
        ("error_rate", 0.005, "error_rate>+0.5pp"),
    ]


def test_errors_are_a_regression(base: Path, tmp_path: Path, say: Say) -> None:
    """From none to one in ten; a run of failures alone has nothing else to compare."""
    assert say(base, directory(tmp_path / "some", two_levels("n", failed=6)))[0] == 3

    def nothing(_run: dict[str, Any], summary: dict[str, Any]) -> None:
        for one in summary["levels"]:
            for part in (one, *one["passes"]):
                part.update(dict.fromkeys(compared.SYSTEM))
                part.update({name: compared.times(None) for name in compared.TIMES})
                part.update({name: compared.rates(None, 0) for name in compared.RATES})

    code, told = say(base, directory(tmp_path / "all", two_levels("n", failed=60), edit=nothing))
    assert code == 3
    assert "TTFT p50: measured in base only" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backend", "vllm"),
        ("prompt_tokens", "551"),
        ("requests_per_level", 61),
        ("arrivals", "poisson:10"),
        ("seed", 2),
        ("text", "pt"),
        ("extra_body", {"temperature": 1}),
        ("exact_output", True),
        ("mix", ["chat:1"]),
        ("turns", "4"),
        ("dataset", "a.jsonl"),
    ],
)
def test_unlike_loads_are_refused(base: Path, tmp_path: Path, say: Say, name: str, value: object) -> None:
    """By its name, with both values and the way out; and then compared."""
    new = directory(tmp_path / "new", two_levels("new"), **{name: value})
    assert f"--allow-different {name}" in refusal(say, base, new)
    code, told = say(base, new, f"--allow-different=--{name.replace('_', '-')}")
    assert code == 0
    assert "allowed to differ, though it shapes the load:" in told
    assert say(base, new, "--allow-different", "all")[0] == 0


def test_what_one_compares_may_differ(base: Path, tmp_path: Path, say: Say) -> None:
    """Model, host, labels, versions: listed, not refused."""

    def edit(run: dict[str, Any], _summary: dict[str, Any]) -> None:
        run["versions"]["tokenswarm"] = "2"

    new = directory(
        tmp_path / "new", two_levels("new"), model="other", host="http://x:2", labels={"gpu": "L4"}, edit=edit
    )
    code, told = say(base, new)
    assert code == 0
    for line in (
        "model: m / other",
        "labels.gpu: not set / L4",
        "versions.tokenswarm: 1 / 2",
        "host: http://h:1 / http://x:2",
    ):
        assert f"- {line}" in told


def test_unknown_settings_are_refused(base: Path, say: Say) -> None:
    """A slip of the pen allows nothing."""
    assert "no setting that has to be the same" in refusal(say, base, base, "--allow-different", "sede")


def test_files_are_compared_by_content(tmp_path: Path, say: Say) -> None:
    """Another folder is the same file if its hash is, and the same name is another if it is not; also inside a setting."""

    def hashed(given: str, word: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
        return lambda run, _: run.update(data=[{"option": "--dataset", "given": given, "sha256": word * 64}])

    def made(name: str, given: str, word: str, **more: Any) -> Path:
        return directory(tmp_path / name, two_levels(name), edit=hashed(given, word), **more)

    base = made("base", "/a/x.jsonl", "1", dataset="/a/x.jsonl")
    assert say(base, made("moved", "/b/y.jsonl", "1", dataset="/b/y.jsonl"))[0] == 0
    other = made("other", "/a/x.jsonl", "2", dataset="/a/x.jsonl")
    assert "dataset: sha256:111111111111 / sha256:222222222222" in refusal(say, base, other)
    trace = made("trace", "/a/t.csv", "3", arrivals="trace:/a/t.csv")
    assert say(trace, made("there", "t.csv", "3", arrivals="trace:t.csv"))[0] == 0
    assert "arrivals" in refusal(say, trace, made("late", "t.csv", "4", arrivals="trace:t.csv"))
    mixed = made("mixed", "/a/x.jsonl", "1", mix=["a:1 dataset=/a/x.jsonl"])
    assert say(mixed, made("mixed2", "x.jsonl", "1", mix=["a:1 dataset=x.jsonl"]))[0] == 0
    assert "mix" in refusal(say, mixed, made("mixed3", "x.jsonl", "5", mix=["a:1 dataset=x.jsonl"]))


def test_datasets_without_hashes_are_compared_by_name_and_size(tmp_path: Path, say: Say) -> None:
    """What an older version left."""

    def made(name: str, path: str, entries: int) -> Path:
        def edit(run: dict[str, Any], _summary: dict[str, Any]) -> None:
            run["datasets"] = [{"dataset": path, "entries": entries}]

        return directory(tmp_path / name, two_levels(name), dataset=path, edit=edit)

    base = made("base", "/a/x.jsonl", 3)
    assert say(base, made("moved", "/b/x.jsonl", 3))[0] == 0
    assert "x.jsonl of 3 entries / x.jsonl of 4 entries" in refusal(say, base, made("grown", "/a/x.jsonl", 4))


def test_another_locustfile_is_another_load(tmp_path: Path, say: Say) -> None:
    """Where both runs noted what was in it."""

    def code(word: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
        return lambda run, _: run.update(invocation={"locustfiles": [{"sha256": word * 64}], "imports": []})

    base = directory(tmp_path / "base", two_levels("b"), edit=code("1"))
    assert say(base, directory(tmp_path / "same", two_levels("s"), edit=code("1")))[0] == 0
    assert say(base, directory(tmp_path / "old", two_levels("o")))[0] == 0
    assert "--allow-different locustfile" in refusal(
        say, base, directory(tmp_path / "new", two_levels("n"), edit=code("2"))
    )


def test_levels_of_one_run_are_not_compared(base: Path, tmp_path: Path, say: Say) -> None:
    """Paired by what was held; none in common is refused."""
    passes = noisy("n")
    new = directory(tmp_path / "new", [level(4, noisy(("base", 4))), level(8, passes)], levels=[4, 8])
    code, told = say(base, new, "--allow-different", "levels")
    assert code == 0
    assert "2 users: in the base only" in told
    assert "8 users: in new only" in told
    assert "of 8 figures" in told
    alone = directory(tmp_path / "alone", [level(8, passes)], levels=[8])
    assert "no level in common" in refusal(say, base, alone, "--allow-different", "levels")


def test_rates_are_paired_by_what_they_are(tmp_path: Path) -> None:
    """A search names levels in the order of its trials; equal numbers are not equal loads."""

    def rate(number: int, value: float, passes: list[dict[str, Any]]) -> dict[str, Any]:
        return level(number, passes, kind="rate", value=value, title=f"{value:g} req/s", concurrency=None)

    slow, fast = noisy("slow"), noisy("fast", ttft_ms=3.0)
    base = directory(tmp_path / "base", [rate(1, 5.0, slow), rate(2, 9.0, fast)])
    new = directory(tmp_path / "new", [rate(1, 9.0, fast), rate(2, 5.0, slow)])
    found = comparison.compare([base, new], Options())
    assert {one.cell.change() for one in found.found} == {0.0}


def test_runs_that_cannot_be_trusted_are_refused(base: Path, tmp_path: Path, say: Say) -> None:
    """Incomplete or invalid, unless told; then it stands beside the figures."""

    def cut(_run: dict[str, Any], summary: dict[str, Any]) -> None:
        summary["complete"] = False

    def bad(_run: dict[str, Any], summary: dict[str, Any]) -> None:
        summary["verdict"] = {"status": "invalid", "reasons": ["the client was busy"]}

    for name, edit, word in (("cut", cut, "incomplete"), ("bad", bad, "the client was busy")):
        new = directory(tmp_path / name, two_levels("n"), edit=edit)
        assert word in refusal(say, base, new)
        code, told = say(base, new, "--allow-invalid")
        assert code == 0
        assert word in told


def test_percentiles_that_are_not_carried_are_not_compared(tmp_path: Path, say: Say) -> None:
    """p95 of 40 requests in a pass: said, with what it would take; a limit on it cannot be judged."""
    base = directory(tmp_path / "base", two_levels("b", n=40))
    new = directory(tmp_path / "new", two_levels("n", n=40, ttft_ms=1.5))
    code, told = say(base, new)
    assert code == 3
    assert "2 users, TTFT p95: p95 needs 59 requests in every pass; there are 40" in told
    code, told = say(base, new, "--fail-on", "ttft_p95>+10%")
    assert code == 6
    assert "--requests-per-level 59" in " ".join(told.split())


def test_goodput_needs_the_same_slos(tmp_path: Path, say: Say) -> None:
    """Else it is two different things; with the same, a share."""

    def good(share: float) -> Callable[[dict[str, Any], dict[str, Any]], None]:
        def edit(_run: dict[str, Any], summary: dict[str, Any]) -> None:
            for one in summary["levels"]:
                one["goodput"] = {"share": share, "n": one["requests"]}
                for part in one["passes"]:
                    part["goodput"] = share

        return edit

    base = directory(tmp_path / "base", two_levels("b"), edit=good(0.95), slo=["ttft_p95<2s"])
    other = directory(tmp_path / "other", two_levels("n"), edit=good(0.95), slo=["ttft_p95<3s"])
    worse = directory(tmp_path / "worse", two_levels("n"), edit=good(0.85), slo=["ttft_p95<2s"])
    code, told = say(base, other)
    assert code == 0
    assert "goodput: the runs' SLOs differ" in told
    code, told = say(base, worse, "--fail-on", "goodput<-5pp")
    assert code == 3
    assert "-10.00pp" in told


def test_bare_faults_are_one_line(base: Path, tmp_path: Path, say: Say) -> None:
    """Not a run, the same run twice, half a file, no passes, no margin."""
    assert "same directory" in refusal(say, base, base)
    (tmp_path / "link").symlink_to(base)
    assert "same directory" in refusal(say, base, tmp_path / "link")
    assert "not a run directory" in refusal(say, base, tmp_path)
    assert "not a run directory" in refusal(say, base, tmp_path / "nowhere")
    refusal(say, base, "a\0b")
    refusal(say, base, "x" * 5000)
    refusal(say, tmp_path / ("y" * 5000), base)
    new = directory(tmp_path / "new", two_levels("n"))
    for margin in ("0", "x", "100%", "-5%", "1e9"):
        assert "--margin" in refusal(say, base, new, f"--margin={margin}")
    (new / "summary.json").write_text((new / "summary.json").read_text()[:500])
    assert "summary.json: not JSON" in refusal(say, base, new)
    (new / "summary.json").unlink()
    assert "no summary.json" in refusal(say, base, new)
    (new / "summary.json").mkdir()
    refusal(say, base, new)

    def old(_run: dict[str, Any], summary: dict[str, Any]) -> None:
        for one in summary["levels"]:
            del one["passes"]

    assert "make it again with `tokenswarm report" in refusal(
        say, base, directory(tmp_path / "old", two_levels("n"), edit=old)
    )

    def other(_run: dict[str, Any], summary: dict[str, Any]) -> None:
        summary["run_id"] = "of another"

    assert "of another" in refusal(say, base, directory(tmp_path / "mixed", two_levels("n"), edit=other))
    assert "--html" in refusal_after_print(say, base, new=directory(tmp_path / "n2", two_levels("n")))


def refusal_after_print(say: Say, base: Path, new: Path) -> str:
    """A page that cannot be written: the table is there all the same."""
    code, told = say(base, new, "--html", new / "no" / "page.html")
    assert code == 2
    return told


WRONG = st.sampled_from([None, True, -1, 0, 1e300, 10**400, "x", "", [], {}, [1], {"a": 1}, -0.5])


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), WRONG, st.booleans())
def test_a_damaged_file_never_surprises(rng: Any, wrong: Any, in_run: bool) -> None:
    """Any value anywhere in either file replaced: a verdict, or one line."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        base = directory(place / "base", [level(2, noisy("b", passes=2))])

        def edit(run: dict[str, Any], summary: dict[str, Any]) -> None:
            at: Any = run if in_run else summary
            while True:
                key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
                inner = at[key]
                if not isinstance(inner, dict | list) or not inner or rng.random() < 0.15:
                    at[key] = copy.deepcopy(wrong)
                    return
                at = inner

        new = directory(place / "new", [level(2, noisy("n", passes=2))], edit=edit)
        with suppress(ConfigError):
            assert comparison.compare([base, new], Options(), allow_invalid=True).code in {0, 3, 6}


def test_deep_nesting_is_one_line(base: Path, tmp_path: Path, say: Say) -> None:
    """A thousand brackets are no settings."""
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}

    def edit(run: dict[str, Any], _summary: dict[str, Any]) -> None:
        run["settings"]["labels"] = deep

    new = directory(tmp_path / "new", two_levels("n"), edit=edit)
    code, told = say(base, new)
    assert code in {0, 2}, told


passes = st.integers(1, 6).flatmap(lambda n: st.lists(st.floats(0.2, 5.0), min_size=n, max_size=n))


@settings(max_examples=60)
@given(passes, passes, st.booleans())
def test_laws_of_comparison(one: list[float], other: list[float], by_point: bool) -> None:
    """A run against itself is never a regression; base for new mirrors every change, its interval and its word."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        runs = [
            directory(
                place / name,
                [level(2, [compared.one_pass(at, {"ttft_ms": f}) for at, f in enumerate(some, 1)])],
            )
            for name, some in (("a", one), ("b", other), ("c", one))
        ]
        options = Options(by_point=by_point)
        same = comparison.compare([runs[0], runs[2]], options)
        assert same.verdict != "regression"
        assert all(one.cell.change() == 0 for one in same.found)
        there = comparison.compare(runs[:2], options).found
        back = comparison.compare([runs[1], runs[0]], options).found
        opposite = {"regression": "improvement", "improvement": "regression"}
        for a, b in zip(there, back, strict=True):
            if a.cell.figure.is_share:
                continue
            assert 1 + a.cell.change() == pytest.approx(1 / (1 + b.cell.change()))
            if not a.cell.is_bare:
                low, high = a.cell.interval() or (0.0, 0.0)
                low_, high_ = b.cell.interval() or (0.0, 0.0)
                assert (1 + low, 1 + high) == pytest.approx((1 / (1 + high_), 1 / (1 + low_)), rel=1e-6)
                known = {a.word, b.word} & set(opposite)
                assert not known or (a.word == opposite.get(b.word)) or abs(a.cell.change()) < 0.011


def test_more_than_two_runs_make_a_table(base: Path, tmp_path: Path, say: Say) -> None:
    """The best of each level are marked, and the exit code is of the worst."""
    fast = directory(tmp_path / "fast", two_levels("f", ttft_ms=0.8))
    slow = directory(tmp_path / "slow", two_levels("s", ttft_ms=1.2))
    alike = directory(tmp_path / "alike", two_levels("x", ttft_ms=0.8))
    code, told = say(base, fast, alike)
    assert code == 0
    first = [line for line in told.splitlines() if re.match(r"2 users +(base|fast|alike)\b", line)][:3]
    marks = {line.split()[2]: "*" in line.split()[3] for line in first}
    assert marks == {"base": False, "fast": True, "alike": True}
    assert say(base, fast, slow)[0] == 3
    vague = directory(tmp_path / "vague", two_levels("v", sd=0.3, passes=3))
    assert say(base, fast, vague)[0] == 6
    assert say(base, vague, slow)[0] == 3


def test_runs_that_are_invalid_are_never_the_best(base: Path, tmp_path: Path, say: Say) -> None:
    """However fast."""

    def bad(_run: dict[str, Any], summary: dict[str, Any]) -> None:
        summary["verdict"] = {"status": "invalid", "reasons": []}

    fast = directory(tmp_path / "fast", two_levels("f", ttft_ms=0.5), edit=bad)
    other = directory(tmp_path / "other", two_levels("o", ttft_ms=0.9))
    _, told = say(base, fast, other, "--allow-invalid", "--markdown")
    rows_ = [line.split(" | ") for line in told.splitlines() if line.startswith("| 2 users")]
    assert ["**" in row[2] for row in rows_] == [False, False, True]


def test_of_the_metrics_own_summaries(tmp_path: Path) -> None:
    """What a run really writes is read, and its passes are compared; the run with itself is the same."""
    records, windows = synthetic_run.run(per_level=80, repeats=3)
    rows.write(tmp_path / "requests.parquet", records)
    summary = metrics.summarise(rows.load(tmp_path / "requests.parquet"), windows, run_id="x")
    for name in ("a", "b"):
        directory(
            tmp_path / name,
            [],
            edit=lambda run, made: made.update({**summary, "run_id": run["run_id"], "complete": True}),
        )
    found = comparison.compare([tmp_path / "a", tmp_path / "b"], Options(), allow_invalid=True)
    assert {one.cell.level for one in found.found} == {"1 user", "2 users", "4 users"}
    assert {one.cell.change() for one in found.found if not one.cell.why} == {0.0}
    assert {one.cell.passes for one in found.found} == {(3, 3)}
