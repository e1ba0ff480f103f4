"""Profiles: what is in their files, that it is what the published figures ask for, and what bad files say."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_simulator import simulator, wait_for

from harness.errors import ConfigError
from harness.simulator import fit, profile, tokens
from harness.simulator.costs import CostModel, CostPoint, CostTable
from harness.simulator.fields import read_messages, text_prompt
from harness.simulator.speech import SPEECHES
from harness.sizers import open_tokenizer

NAMES = (
    "llamacpp",
    "maritalk-1xA10-small",
    "maritalk-1xA100-small",
    "maritalk-2xA100-medium",
    "maritalk-2xA100-small",
    "tgi-awq",
    "tgi-bnb-int8",
    "tgi-bnb-nf4",
    "tgi-eetq",
    "tgi-fp16",
    "tgi-gptq",
)
SECOND_NS = 1_000_000_000


def test_every_published_system_has_a_profile():
    """The figures' file and the folder name the same systems, and each level of each has its figures."""
    figures = profile.published()
    assert profile.names() == NAMES == tuple(sorted({figure.profile for figure in figures}))
    for name in NAMES:
        found = profile.load(name)
        assert found.experiment is not None
        assert found.speaks in SPEECHES
        assert found.source
        assert found.assumed
        assert set(found.experiment.levels) == {f.clients for f in figures if f.profile == name}


def test_published_figures():
    """Two of them as printed in their sources."""
    found = {(f.profile, f.clients, f.figure, f.stat): f.value for f in profile.published()}
    assert found["maritalk-1xA100-small", 8, "system_tps", "std"] == 11.9
    assert found["tgi-awq", 16, "decode_tps", "value"] == 1346
    assert len(found) == 4 * 4 * 8 + 2 * 4 * 2 + 5 * 2 * 2


@pytest.mark.parametrize("name", NAMES)
def test_the_costs_are_what_the_fit_computes(name: str):
    """Nobody turned a number by hand: fitting again gives the file's costs."""
    found = profile.load(name)
    figures = [figure for figure in profile.published() if figure.profile == name]
    assert fit.fit(found, figures) == found.cost


@pytest.mark.parametrize("name", NAMES)
def test_a_wave_has_the_published_figures(name: str):
    """In the engine's arithmetic every mean, median and value is met within 2 %."""
    found = profile.load(name)
    assert found.experiment is not None
    cost = replace(found.cost, jitter_percent=0.0)
    for figure in profile.published():
        if figure.profile != name or figure.stat == "std":
            continue
        answers = fit.wave(cost, figure.clients, found.experiment)
        if found.experiment.figures == "maritaca":
            value = fit.maritaca(answers)[figure.figure, figure.stat]
        else:
            rates = fit.phases(answers)
            value = rates[figure.figure == "decode_tps"] or 0.0
        assert value == pytest.approx(figure.value, rel=0.02), figure


def test_phases_by_hand():
    """Two prompts of 100 tokens read within 2 s; then 4 and 2 tokens/s in the time when both decode."""
    quick = fit.Answer(100, 0, [SECOND_NS + n * SECOND_NS // 4 for n in range(20)])  # 1 s to 5.75 s
    slow = fit.Answer(100, 0, [2 * SECOND_NS + n * SECOND_NS // 2 for n in range(20)])  # 2 s to 11.5 s
    assert fit.phases([quick, slow]) == (pytest.approx(100.0), pytest.approx(6.0))
    assert fit.phases([quick]) == (pytest.approx(100.0), pytest.approx(4.0))


def test_phases_that_do_not_exist():
    """An answer without tokens, or one that ends before the other begins, has no phase of decoding."""
    early = fit.Answer(10, 0, [1, 2, 3])
    assert fit.phases([early, fit.Answer(10, 0, [])]) == (None, None)
    assert fit.phases([early, fit.Answer(10, 0, [7, 8, 9])]) == (None, None)


def test_maritacas_figures_by_hand():
    """10 prompt and 5 output tokens: 5 over the decode time, 15 over the whole, both waves' over the median."""
    one = fit.Answer(10, 0, [SECOND_NS * n for n in (1, 2, 3, 4, 5)])
    two = fit.Answer(10, 0, [SECOND_NS * n for n in (2, 4, 6, 8, 10)])
    assert fit.maritaca([one, two]) == {
        ("generated_tps", "mean"): pytest.approx((5 / 4 + 5 / 8) / 2),
        ("generated_tps", "median"): pytest.approx((5 / 4 + 5 / 8) / 2),
        ("total_tps", "mean"): pytest.approx((3 + 1.5) / 2),
        ("total_tps", "median"): pytest.approx((3 + 1.5) / 2),
        ("system_tps", "median"): pytest.approx(30 / 7.5),
    }


TABLE = CostTable((CostPoint(1, 1000, 10), CostPoint(4, 4000, 16), CostPoint(8, 2000, 32)))


@pytest.mark.parametrize(
    ("batch", "rate", "ms"),
    [
        (0, 1000, 10),
        (1, 1000, 10),
        (2, 2000, 12),
        (4, 4000, 16),
        (6, 3000, 24),
        (8, 2000, 32),
        (10, 2000, 40),
    ],
)
def test_a_table_is_read_between_its_points(batch: int, rate: float, ms: float):
    """Straight lines between; the first holds below; beyond the last steps grow on, the prompts' speed stays."""
    assert TABLE.prefill_tokens_per_s(batch) == pytest.approx(rate)
    assert TABLE.step_ms(batch) == pytest.approx(ms)


def test_one_point_holds_everywhere():
    """Nothing to draw a line from."""
    table = CostTable((CostPoint(4, 1000, 10),))
    assert [(table.prefill_tokens_per_s(n), table.step_ms(n)) for n in (1, 4, 9)] == [(1000, 10)] * 3


def test_the_table_stands_in_for_the_rates():
    """The step reads its prefill rate by all that run, its decode time by those that decode."""
    cost = CostModel(table=TABLE, prefill_tokens_per_s=1, step_base_ms=999)
    assert cost.step_ns(prefill_tokens=0, decoding=2, running=4) == 12_000_000
    assert cost.step_ns(prefill_tokens=400, decoding=2, running=4) == 112_000_000
    assert cost.step_ns(prefill_tokens=0, decoding=0, running=4) == 0


def test_jitter_is_as_large_as_asked_and_comes_again():
    """Its standard deviation is the option's, it holds for a stretch of steps, and the seed decides it."""
    cost = CostModel(step_base_ms=100, step_per_seq_ms=0, jitter_percent=5, jitter_steps=10, jitter_seed=3)
    steps = [cost.step_ns(prefill_tokens=0, decoding=1, number=n) / 1e6 for n in range(20_000)]
    mean = sum(steps) / len(steps)
    std = (sum((step - mean) ** 2 for step in steps) / len(steps)) ** 0.5
    assert mean == pytest.approx(100, abs=0.5)
    assert std == pytest.approx(5, rel=0.06)
    assert len(set(steps[:10])) == 1
    assert steps[9] != steps[10]
    again = replace(cost, jitter_seed=4)
    assert again.step_ns(prefill_tokens=0, decoding=1, number=0) / 1e6 != steps[0]


TOML = """
title = "Mine"
speaks = "tgi"
model = "m"
context = 100
mean_output_tokens = 5
[batch]
slots = 2
prefill_chunk = 8
[[cost]]
batch = 1
prefill_tokens_per_s = 10
step_ms = 1.5
"""


def test_a_profile_of_ones_own(tmp_path: Path):
    """The least a file needs; it has no experiment, no source and no jitter."""
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    found = profile.load(str(path))
    assert (found.name, found.title, found.source, found.experiment) == ("mine", "Mine", "", None)
    table = CostTable((CostPoint(1, 10.0, 1.5),))
    assert found.cost == CostModel(slots=2, prefill_chunk=8, table=table)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slots = 2", "slots = 0", "batch.slots must be a whole number from 1 to 1e+09"),
        ("slots = 2", "slotz = 2", "batch.slots must be a whole number from 1 to 1e+09"),
        ("slots = 2", "slots = 2\nturbo = true", "batch.turbo: no such key"),
        ('title = "Mine"', 'title = ""', "title must be a line of text"),
        ('title = "Mine"', 'title = "Mine"\nassumed = 3', "assumed must be a list of lines of text"),
        ("step_ms = 1.5", "step_ms = nan", "cost[0].step_ms must be a number from 0 to 1e+09"),
        ("[[cost]]", "[cost]", "cost must be one or more [[cost]] tables"),
        ("[batch]", "[[batch]]", "batch must be a table"),
        (
            "step_ms = 1.5",
            "step_ms = 1.5\n[[cost]]\nbatch = 1\nprefill_tokens_per_s = 1\nstep_ms = 1",
            "cost[1].batch must ascend from one [[cost]] to the next",
        ),
        (
            "[batch]",
            "[experiment]\nlevels = []\n[batch]",
            "experiment.levels must be a list of numbers of clients, such as [1, 2, 4, 8]",
        ),
    ],
)
def test_a_bad_file_is_one_line(old: str, new: str, message: str, tmp_path: Path):
    """It names the option, the file, the key and what would be right."""
    path = tmp_path / "mine.toml"
    path.write_text(TOML.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        profile.load(str(path))
    assert str(caught.value) == f"--profile {path}: {message}"


def test_what_is_no_profile(tmp_path: Path):
    """An unknown name, a missing file and one that is not TOML."""
    with pytest.raises(
        ConfigError, match=r"--profile gpu9: not known; give one of llamacpp, maritalk-1xA10-small"
    ):
        profile.load("gpu9")
    with pytest.raises(
        ConfigError, match=r"no\.toml: No such file or directory; name a file that can be read"
    ):
        profile.load(str(tmp_path / "no.toml"))
    (tmp_path / "bad.toml").write_text("title = ")
    with pytest.raises(ConfigError, match=r"bad\.toml: not TOML: "):
        profile.load(str(tmp_path / "bad.toml"))


def test_a_profile_answers_in_its_own_time(tmp_path: Path):
    """TGI with GPTQ, alone: 20 ms, then 1,000 prompt tokens at 6,045 tokens/s, then 7.3 ms a token."""
    with simulator(tmp_path, "--profile", "tgi-gptq") as server:
        prompt = " ".join(["word"] * 999)
        body = {"inputs": prompt, "parameters": {"max_new_tokens": 21, "details": True}}
        reply = server.post("/generate", body)
        assert reply["details"]["generated_tokens"] == 21
        row = wait_for(lambda: next(iter(server.rows()), None))  # it is written just after the last byte
        assert row["prompt_tokens"] == 1000
        assert row["prefill_ms"] == pytest.approx(1000 / 6.045, rel=0.001)
        assert row["decode_ms"] == pytest.approx(20 * 7.299, rel=0.001)
        assert 15 <= row["queue_ms"] <= 60


FOLDER = Path(profile.__file__).parent / "tokenizer"
# Python and the tokenizer's engine disagree only on what few letters beyond these count as letters.
TEXT = st.text(st.sampled_from("ab z_9éãñü語本Ωд \n\t.,<|>!?😀—'\""), max_size=60)


@given(TEXT)
def test_the_tokenizer_folder_counts_as_the_simulator_does(text: str):
    """What `--tokenizer` counts with is to the token what the server counts, with and without chat template."""
    plain, chat = _sizers()
    assert plain.count(text) == text_prompt(text).tokens
    assert plain.count_output(text) == tokens.count(text)
    assert (
        chat.count(text)
        == text_prompt(read_messages({"messages": [{"role": "user", "content": text}]})).tokens
    )


def _sizers(_opened: list[object] = []):  # noqa: B006, opened once for all examples
    if not _opened:
        _opened += [open_tokenizer(str(FOLDER), chat=False), open_tokenizer(str(FOLDER), chat=True)]
    return _opened
