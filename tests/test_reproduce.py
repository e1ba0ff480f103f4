"""Published beside measured: the formulas, the judgement, who runs beside whom, and one experiment for real."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import ConfigError
from harness.reproduce import cli, figures, sweeps
from harness.reproduce.figures import Cell, compare, measure
from harness.simulator import profile
from harness.simulator.profile import Figure


def _cell(published: float, measured: float | None, std: float | None = None, stat: str = "mean") -> Cell:
    return Cell(Figure("p", 2, "total_tps", stat, published), measured, std)


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        (_cell(100, 102.9), "3%"),
        (_cell(100, 97.1), "3%"),
        (_cell(100, 103.1), None),
        (_cell(100, 110, std=10), "std 10"),
        (_cell(100, 110.1, std=10), None),
        (_cell(100, 101, std=0.1), "3%"),
        (_cell(100, None), None),
    ],
)
def test_a_figure_is_met_by_three_per_cent_or_by_its_std(cell: Cell, rule: str | None):
    """The rule that let it pass is named, the nearer one first; a figure that is missing is met by none."""
    assert cell.rule == rule


def test_every_published_figure_has_its_cell():
    """Also the ones that were not measured; each mean knows the spread published with it, and a spread is not judged."""
    published = [
        Figure("p", 1, "total_tps", "mean", 100.0),
        Figure("p", 1, "total_tps", "std", 2.0),
        Figure("p", 4, "total_tps", "mean", 50.0),
    ]
    first, spread, other = compare(published, {1: {("total_tps", "mean"): 101.0, ("total_tps", "std"): 0.5}})
    assert (first.measured, first.std, first.difference) == (101.0, 2.0, pytest.approx(0.01))
    assert (spread.measured, spread.is_judged, first.is_judged) == (0.5, False, True)
    assert (other.measured, other.std, other.rule) == (None, None, None)


def _requests(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_maritacas_formulas():
    """Two waves of two: generated over the server's time, all tokens over E2E, a wave's tokens over its median E2E.

    The server counts no prompt tokens, so the size that was asked for stands for them.
    """
    rows = _requests(
        repeat=[1, 1, 2, 2],
        sent_ns=[1, 2, 3, 4],
        prompt_tokens=[np.nan] * 4,
        requested_prompt_tokens=[550] * 4,
        output_tokens=[150] * 4,
        server_decode_ms=[5000.0, 6000.0, 5000.0, 6000.0],
        e2e_ms=[7000.0, 7000.0, 10000.0, 14000.0],
        ttft_ms=[np.nan] * 4,
    )
    found = measure(rows, 2, "maritaca")
    assert found["generated_tps", "mean"] == pytest.approx(27.5)
    assert found["generated_tps", "std"] == pytest.approx(np.std([30, 25, 30, 25], ddof=1))
    assert found["total_tps", "median"] == pytest.approx((100 + 70) / 2)
    assert found["system_tps", "median"] == pytest.approx((1400 / 7 + 1400 / 12) / 2)


def test_phases_formulas():
    """The median wave of three: 200 prompt tokens within 1 s, then twice 4 tokens/s."""
    rows = _requests(
        repeat=[1, 1, 2, 2, 3, 3],
        sent_ns=[0, 0] * 3,
        prompt_tokens=[100.0] * 6,
        requested_prompt_tokens=[99] * 6,
        first_content_ns=[10**9, 10**9, 5 * 10**8, 5 * 10**8, 4 * 10**9, 4 * 10**9],
        chunk_gaps_us=[[250_000.0] * 8] * 6,
    )
    found = measure(rows, 2, "phases")
    assert found == {
        ("prefill_tps", "value"): pytest.approx(200.0),
        ("decode_tps", "value"): pytest.approx(8.0),
    }


def test_an_answer_without_tokens_has_no_figure():
    """Nothing is made up for a wave in which one stream gave none."""
    rows = _requests(
        repeat=[1],
        sent_ns=[0],
        prompt_tokens=[100.0],
        requested_prompt_tokens=[100],
        first_content_ns=[None],
        chunk_gaps_us=[[]],
    )
    assert measure(rows, 1, "phases") == {}


def test_no_two_sweeps_load_one_server(tmp_path: Path):
    """A profile is one sweep; what is not streamed has a lane of its own."""
    chosen = [profile.load(name) for name in profile.names()]
    found = sweeps.lanes(chosen, tmp_path)
    names = [[sweep.profile.name for sweep in lane.left] for lane in found]
    assert len(found) == 4 + sweeps.STREAMING_LANES
    assert sum(map(len, names)) == 11
    assert sum(len(sweep.levels) for lane in found for sweep in lane.left) == 4 * 4 + 2 * 4 + 5 * 2
    assert sum(len(set(lane)) for lane in names) == 11
    assert sorted(lane[0] for lane in names if lane[0].startswith("maritalk")) == [
        name for name in profile.names() if name.startswith("maritalk")
    ]
    assert all(len(set(lane)) == 1 for lane in names if lane[0].startswith("maritalk"))


def test_a_wave_is_a_pass_with_one_request_a_user(tmp_path: Path):
    """The command says so, and every size is the published one."""
    sweep = sweeps.sweep_of(profile.load("maritalk-1xA10-small"), tmp_path)
    assert sweep is not None
    command = " ".join(sweep.command("http://127.0.0.1:9"))
    assert (
        "--levels 1,2,4,8 --requests-per-level 1x --repeats 5 --prompt-tokens 550 --output-tokens 150"
        in command
    )
    assert sweep.folder == tmp_path / "maritalk-1xA10-small"


def test_nothing_published_nothing_run(tmp_path: Path):
    """A profile without an experiment has no sweep, and no lane."""
    bare = replace(profile.load("llamacpp"), experiment=None)
    assert sweeps.sweep_of(bare, tmp_path) is None
    assert sweeps.lanes([bare], tmp_path) == []


def test_an_unknown_profile_is_one_line(capsys: pytest.CaptureFixture[str]):
    """Exit code 2, and the known ones are named."""
    assert cli.main(["--profile", "gpu9"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("reproduce-tables: error: --profile gpu9: not known; give one of llamacpp, ")
    assert said.count("\n") == 1


def test_a_run_that_is_not_there_is_said(tmp_path: Path):
    """It names the folder and where to look."""
    sweep = sweeps.sweep_of(profile.load("llamacpp"), tmp_path)
    assert sweep is not None
    with pytest.raises(ConfigError, match=r"llamacpp: 0 runs in it, not one; see .*locust\.log"):
        cli.read(sweep)


@pytest.mark.parametrize(
    ("measured", "verdict", "again"),
    [(137.0, "invalid", False), (100.0, "invalid", True), (100.0, "suspect", False), (100.0, "valid", False)],
)
def test_only_a_miss_of_a_run_that_is_not_valid_is_run_again(
    measured: float, verdict: str, again: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A sound run that misses stands, and so does one that is met; what is run again is said, with the reason."""
    sweep = sweeps.sweep_of(profile.load("tgi-gptq"), tmp_path)
    assert sweep is not None
    run = sweep.folder / "run"
    run.mkdir(parents=True)
    summary = {"verdict": {"status": verdict, "reasons": ["the client waited for a core 97 % of the time"]}}
    (run / "summary.json").write_text(json.dumps(summary))
    found = {
        1: {("decode_tps", "value"): measured, ("prefill_tps", "value"): 5700.0},
        16: {("decode_tps", "value"): 1000.0, ("prefill_tps", "value"): 6500.0},
    }
    missed = cli.misses(sweep, found)
    assert missed == (() if measured == 137.0 else (1,))
    assert (bool(missed) and cli.is_invalid(sweep)) == again
    said = capsys.readouterr().err
    assert ("tgi-gptq: what was missed is run again, for the client waited for a core" in said) == again
    once_more = sweep.again(missed)
    assert (once_more.levels, once_more.folder) == (missed, tmp_path / "tgi-gptq-2")


def test_the_whole_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """TGI with GPTQ, one client, five waves: simulator, Locust, records and table; the decode rate is met."""
    full = profile.load("tgi-gptq")
    assert full.experiment is not None
    brief = replace(full, experiment=replace(full.experiment, levels=(1,), repeats=5))
    monkeypatch.setattr(profile, "load", lambda _: brief)
    monkeypatch.setattr(profile, "published", lambda: (Figure("tgi-gptq", 1, "decode_tps", "value", 137.0),))
    assert cli.main(["--profile", "tgi-gptq", "--results-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "1 figures: 1 within 3%" in said
    (table,) = tmp_path.glob("*/reproduced.csv")
    row = pd.read_csv(table).iloc[0]
    assert (row.profile, row.clients, row.figure, row.published) == ("tgi-gptq", 1, "decode_tps", 137.0)
    assert row.measured == pytest.approx(137.0, rel=figures.TOLERANCE)
