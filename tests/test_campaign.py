"""A campaign file, the runs it makes, and what is kept of them."""

import json
import re
import signal
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import shipped
from harness.campaign import cli, file, matrix, placeholders, secrets, state, steps
from harness.campaign.file import Campaign
from harness.campaign.matrix import Run
from harness.campaign.state import Entry, State
from harness.errors import ConfigError

HEAD = """
[campaign]
name = "it"
locustfile = "openai.py"
"""
TWO = """
[[target]]
name = "a"
host = "http://127.0.0.1:1"

[[target]]
name = "b"
host = "http://127.0.0.1:2"
"""


def parsed(text: str, folder: Path = Path("/nowhere")) -> Campaign:
    return file.parse(text, folder / "it.toml")


def planned(text: str) -> list[Run]:
    return matrix.plan(parsed(text))


def options(run: Run) -> list[str]:
    """The words that come of the file's options."""
    own = ("--host", "--serve", "--label", "--run-name", "--results-dir", "--headless", "-f")
    words = run.words("http://h:1", Path("/r"))
    return [word for word in words if word.startswith("--") and not word.startswith(own)]


def test_a_file_becomes_command_lines() -> None:
    """Each kind of TOML value is the option a user would type; a target's own options, labels, variables win."""
    text = f"""
    {HEAD}
    rounds = 1
    cooldown = "2m"
    [options]
    levels = [1, 2]
    -t = "30s"
    slo = ["ttft_p95<2s", "error_rate<1%"]
    extra-body = {{ temperature = 0.7, stop = ["x"] }}
    insecure = true
    require-valid = false
    preflight = false
    prompt-tokens = 100
    [labels]
    gpu = "none"
    site = 7
    [env]
    TOKENSWARM_MODEL = "m"
    [[target]]
    name = "a"
    host = "http://h:1"
    locustfile = "sambastudio_experts.py"
    classes = ["Llama"]
    options = {{ prompt-tokens = "normal:550,150", backend-option = {{ expert = "e" }} }}
    labels = {{ gpu = "A10" }}
    env = {{ TOKENSWARM_MODEL = "n", TOKENSWARM_API_KEY_FILE = "/k" }}
    """
    campaign = parsed(text)
    assert (campaign.cooldown_s, campaign.rounds, campaign.order) == (120.0, 1, "interleaved")
    assert campaign.results == Path("/nowhere/results/it")
    (run,) = matrix.plan(campaign)
    words = run.words("http://h:1", Path("/r"))
    assert words[:2] == ["-f", str(shipped.locustfile("sambastudio_experts.py"))]
    assert words[2:5] == ["--headless", "--host", "http://h:1"]
    assert words[5:] == [
        "--levels=1,2",
        "--run-time=30s",
        "--slo=ttft_p95<2s",
        "--slo=error_rate<1%",
        '--extra-body={"temperature":0.7,"stop":["x"]}',
        "--insecure",
        "--preflight=no",
        "--prompt-tokens=normal:550,150",
        "--backend-option=expert=e",
        *("--label=campaign=it", "--label=target=a", "--label=gpu=A10", "--label=site=7", "--label=round=1"),
        *("--run-name=a-1", "--results-dir=/r", "Llama"),
    ]
    assert run.env == {"TOKENSWARM_MODEL": "n", "TOKENSWARM_API_KEY_FILE": "/k"}
    assert (run.model, run.has_trial) == ("e", False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = \nb = 1", "not TOML: Invalid value (at line 1, column 5)"),
        (HEAD, "target: give at least one [[target]] with a name, a locustfile and a host"),
        (TWO, "campaign.name '': give up to 60 letters, digits, dots, dashes and underscores"),
        (HEAD + "sped = 1\n" + TWO, "campaign.sped is not known here; there are name, results, rounds"),
        (HEAD + "rounds = 0\n" + TWO, "campaign.rounds = 0: give a whole number from 1 to 1000"),
        (HEAD + 'cooldown = "soon"\n' + TWO, 'campaign.cooldown = \'soon\': give seconds, or "10s", "2m", "1h"'),
        (HEAD + "[options]\nheadless = true\n" + TWO, "options.headless: a campaign sets this itself"),
        (HEAD + "[options]\nhost = 'x'\n" + TWO, "options.host: give it as the target's host"),
        (HEAD + "[options]\nlevels = []\n" + TWO, "options.levels = []: give a value, or leave it out"),
        (HEAD + "[options]\nlevels = 1979-05-27\n" + TWO, "options.levels = datetime.date(1979, 5, 27): give a text"),
        (HEAD + "[options]\nprompt_tokens = 1\n" + TWO, "options.prompt_tokens: give the option's name, e.g. prompt-tokens"),
        (HEAD + "[options]\nu = 1\nusers = 2\n" + TWO, "options.users: --users is given twice; give it once"),
        (HEAD + "[axes]\nmodel = 'm'\n" + TWO, "axes.model = 'm': give a list of values, e.g. model = [\"a\", \"b\"]"),
        (HEAD + "[axes]\nmodel = ['m', 'm']\n" + TWO, "a value stands there twice; rounds repeat runs"),
        (HEAD + "[axes]\norder = 'random'\n" + TWO, "axes.order = 'random': use interleaved or grouped"),
        (HEAD + "[axes]\nslots = [1]\n" + TWO, "axes.slots: neither an option of tokenswarm nor in any target's text as {slots}"),
        (HEAD + TWO + "[[target]]\nname = 'a'\nhost = 'http://h'\n", "target: two are named 'a'"),
        (HEAD + "[[target]]\nname = 'a'\n", "target[1] 'a': host is missing: give the server's address, or `serve`"),
        (HEAD + TWO + "locustfile = 'none.py'\n", "target[2] 'b': locustfile 'none.py': neither in /nowhere nor in"),
        (HEAD + TWO + "serve = \"x '\"\n", "target[2] 'b': serve: no closing quotation"),
        (HEAD + TWO + "labels = { target = 'x' }\n", "target[2] 'b': labels.target: a campaign sets it"),
        (HEAD + TWO + "serve = 'x {port}'\n", "target 'b': {port} is the free port of a target without a host"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(text: str, said: str) -> None:
    """One line: the file, the key or line, the value, what would be right."""
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert str(caught.value).startswith("it.toml: ")
    assert said in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody should have to find them one by one."""
    with pytest.raises(ConfigError) as caught:
        parsed("[campaign]\nrounds = 0\n[options]\nhost = 'x'\n[[target]]\nname = 'a b'\n")
    assert len(str(caught.value).splitlines()) == 6


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[env]\nOPENAI_API_KEY = 'hush-hush'\n", "env.OPENAI_API_KEY"),
        ("[env]\nHF_TOKEN = 'hush-hush'\n", "env.HF_TOKEN"),
        ("[env]\ndbPassword = 'hush-hush'\n", "env.dbPassword"),
        ("[env]\nTOKENSWARM_API_KEY = 'hush-hush'\n", "env.TOKENSWARM_API_KEY"),
        ("[options]\nextra-body = { a = [ { api_key = 'hush-hush' } ] }\n", "options.extra-body.a.api_key"),
        ("[options]\nextra-body = '{\"secret\": \"hush-hush\"}'\n", "options.extra-body.secret"),
        ("[[target]]\nname='k'\nserve = 'vllm serve m --api-key hush-hush'\n", "target[1] 'k': serve: --api-key"),
        ("[[target]]\nname='k'\nserve = 'env HF_TOKEN=hush-hush vllm'\n", "target[1] 'k': serve: HF_TOKEN"),
    ],
)  # fmt: skip
def test_no_secret_stands_in_a_file(text: str, place: str) -> None:
    """Its name is refused, and its value not repeated."""
    with pytest.raises(ConfigError) as caught:
        parsed(HEAD + text + ("" if "[[target]]" in text else TWO))
    assert place in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["TOKENSWARM_PROMPT_TOKENS", "MAX_TOKENS", "TOKENSWARM_API_KEY_FILE", "KEYBOARD"]
)
def test_what_only_sounds_like_a_secret(name: str) -> None:
    """Counts of tokens, names of files, longer words."""
    assert not secrets.is_secret(name)


def test_a_secret_taken_from_the_environment_is_none() -> None:
    """`$NAME` names it, and does not hold it."""
    assert secrets.in_command(["maritalk", "--license", "$LICENCE"]) is None
    assert secrets.in_command(["maritalk", "--license", "x"]) == "--license"


AXES = """
rounds = 2
[axes]
order = "{order}"
model = ["x", "y"]
prompt-tokens = [10, 20]
"""


def test_interleaved_neighbours_differ() -> None:
    """Round after round; targets take turns fastest, then the first axis, then the next."""
    keys = [run.key for run in planned(HEAD + AXES.format(order="interleaved") + TWO)]
    assert keys[:8] == [
        "a model=x prompt-tokens=10 #1",
        "b model=x prompt-tokens=10 #1",
        "a model=y prompt-tokens=10 #1",
        "b model=y prompt-tokens=10 #1",
        "a model=x prompt-tokens=20 #1",
        "b model=x prompt-tokens=20 #1",
        "a model=y prompt-tokens=20 #1",
        "b model=y prompt-tokens=20 #1",
    ]
    assert keys[8:] == [key.replace("#1", "#2") for key in keys[:8]]


def test_grouped_switches_least() -> None:
    """Target after target, the first axis slowest, rounds together."""
    runs = planned(HEAD + AXES.format(order="grouped") + TWO)
    assert [run.key for run in runs[:8]] == [
        f"a model={model} prompt-tokens={tokens} #{round_}"
        for model in "xy"
        for tokens in (10, 20)
        for round_ in (1, 2)
    ]
    assert [run.target for run in runs] == ["a"] * 8 + ["b"] * 8


@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    rounds=st.integers(1, 3),
    order=st.sampled_from(file.ORDERS),
)
def test_every_combination_is_run_once_a_round(sizes: list[int], rounds: int, order: str) -> None:
    """Whatever the order: all of them, each once, and no two with one name, folder or seed at one server."""
    names = ("model", "prompt-tokens", "output-tokens")
    axes = "\n".join(f"{name} = {list(range(1, n + 1))}" for name, n in zip(names, sizes, strict=False))
    runs = planned(f'{HEAD}\nrounds = {rounds}\n[axes]\norder = "{order}"\n{axes}\n{TWO}')
    combinations = 1
    for size in sizes:
        combinations *= size
    assert len(runs) == 2 * rounds * combinations
    for what in ({run.key for run in runs}, {run.slug for run in runs}):
        assert len(what) == len(runs)
    seeds = [run.options.get("seed") for run in runs if run.target == "a"]
    assert len(set(seeds)) == len(seeds)


def test_targets_get_the_same_prompts_and_no_server_the_same_twice() -> None:
    """Seeds: equal over targets of their own, different over rounds, and over targets at one address."""
    text = HEAD + "rounds = 2\n" + TWO
    seeds = {run.key: run.options.get("seed") for run in planned(text)}
    assert seeds["a #1"] is seeds["b #1"] is None
    assert seeds["a #2"] == seeds["b #2"] is not None
    seeds = {run.key: run.options.get("seed") for run in planned(text.replace(":2", ":1"))}
    assert len(set(seeds.values())) == 4
    same = {run.options.get("seed") for run in planned(HEAD + 'seeds = "same"\nrounds = 2\n' + TWO)}
    assert same == {None}


def test_a_seed_does_not_depend_on_other_runs() -> None:
    """A value or a target more leaves every run that is there as it was."""
    before = {run.key: run.asked() for run in planned(HEAD + "[axes]\nmodel = ['x', 'y']\n" + TWO)}
    more = TWO + "[[target]]\nname = 'c'\nhost = 'http://127.0.0.1:3'\n"
    after = {run.key: run.asked() for run in planned(HEAD + "[axes]\nmodel = ['w', 'x', 'y']\n" + more)}
    assert {key: after[key] for key in before} == before
    assert len(after) == 9


def test_an_axis_of_no_option_is_for_texts() -> None:
    """`{name}` is replaced in serve, host, options, labels and variables; who has no such text takes no part."""
    text = f"""
    {HEAD}
    [axes]
    slots = [1, 4]
    expert = ["e", "f"]
    [[target]]
    name = "own"
    serve = "llamacpp --slots {{slots}} --port {{port}} --json {{}} {{none}}"
    labels = {{ slots = "{{slots}}" }}
    env = {{ SLOTS = "{{slots}}" }}
    [[target]]
    name = "coe"
    host = "http://h/{{expert}}"
    options = {{ backend-option = "expert={{expert}}" }}
    """
    runs = {run.row: run for run in planned(text)}
    assert set(runs) == {"own slots=1", "own slots=4", "coe expert=e", "coe expert=f"}
    own = runs["own slots=4"]
    assert own.serve == "llamacpp --slots 4 --port {port} --json {} {none}"
    words = own.words("http://127.0.0.1:1234", Path("/r"))
    assert "--serve=llamacpp --slots 4 --port 1234 --json {} {none}" in words
    assert (own.labels["slots"], own.env) == ("4", {"SLOTS": "4"})
    assert runs["coe expert=f"].host == "http://h/f"
    assert runs["coe expert=f"].model == "f"


def test_a_targets_own_option_is_not_multiplied() -> None:
    """The axis is for the others."""
    runs = planned(HEAD + "[axes]\nmodel = ['x', 'y']\n" + TWO + "options = { model = 'own' }\n")
    assert sorted(run.key for run in runs) == ["a model=x #1", "a model=y #1", "b #1"]
    assert options(next(run for run in runs if run.target == "b")) == ["--model=own"]


@given(st.text(max_size=40), st.dictionaries(st.sampled_from(["a", "b-c"]), st.text(max_size=5)))
def test_only_known_names_are_replaced(text: str, values: dict[str, str]) -> None:
    """A text without known names in braces stays as it is."""
    if not placeholders.used([text]) & set(values):
        assert placeholders.fill(text, values) == text


def entry(run: Run, status: str = "done", code: int | None = 0) -> Entry:
    return Entry(status, run.asked(), began_ns=1, exit_code=code, seconds=10.0)


def test_what_was_run_is_known_again(tmp_path: Path) -> None:
    """campaign.json is read back; a run counts as done only while it is asked the same."""
    first, second = planned(HEAD + TWO)
    kept = State(tmp_path, "it")
    kept.put(first.key, entry(first))
    kept.put(second.key, entry(second, "running", None))
    loaded = State.load(tmp_path, "it")
    assert loaded.of(first) == entry(first)
    interrupted = loaded.of(second)
    assert interrupted is not None
    assert interrupted.status == "interrupted"
    changed = planned(HEAD + "[options]\nprompt-tokens = 64\n" + TWO.replace(":1", ":9"))
    assert loaded.of(changed[0]) is None
    assert loaded.changed(changed)["a #1"] == [
        "host: http://127.0.0.1:1 -> http://127.0.0.1:9",
        "options.prompt-tokens: none -> 64",
    ]
    assert loaded.orphans(changed[1:]) == ["a #1"]


def test_a_locustfile_that_has_changed_is_another_run(tmp_path: Path) -> None:
    """Its content counts, not its time."""
    (tmp_path / "openai.py").write_text("a")
    (before, _) = matrix.plan(parsed(HEAD + TWO, tmp_path))
    old = before.asked()
    (tmp_path / "openai.py").write_text("b")
    (said,) = state.changes(old, before.asked())
    assert said.startswith(
        "locustfile: openai.py sha256:ca978112ca1bbdca -> openai.py sha256:3e23e8160039594a"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ('{"schema": 9, "runs": {}}', "not of this version of tokenswarm"),
        ('{"schema": 1, "name": "other", "runs": {}}', "of the campaign 'other', not of 'it'"),
        ('{"schema": 1, "name": "it", "runs": {"a": {"status": 1}}}', "damaged"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: str, said: str) -> None:
    """It is neither overwritten nor believed."""
    (tmp_path / "campaign.json").write_text(content)
    with pytest.raises(ConfigError, match=said):
        State.load(tmp_path, "it")


def test_one_campaign_at_a_time(tmp_path: Path) -> None:
    """A second one in the same folder is told so; after the first it may."""
    with (
        state.locked(tmp_path),
        pytest.raises(ConfigError, match="a campaign is running in it"),
        state.locked(tmp_path),
    ):
        pass
    with state.locked(tmp_path):
        assert json.dumps(None) == "null"


def test_the_time_left_is_that_of_runs_before(tmp_path: Path) -> None:
    """By target where one of it is done, else by all; rests count; unknown before the first."""
    a, b = planned(HEAD + TWO)
    kept = State(tmp_path, "it")
    assert steps._remaining_s([a, b], kept, 5.0) is None
    kept.put(a.key, entry(a))
    assert steps._remaining_s([b], kept, 5.0) == 10.0
    kept.put(b.key, Entry("done", b.asked(), 1, seconds=30.0, exit_code=0))
    assert steps._remaining_s([a, b, a], kept, 5.0) == 10.0 + 30.0 + 10.0 + 2 * 5.0


def test_an_interrupt_that_nobody_could_hear_is_kept() -> None:
    """Between two runs there is no child: the signal counts all the same."""
    with steps.stopping() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop.count == 2


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((0, 1), 1), ((1, 3, 0), 3), ((3, 4), 4), ((4, 5), 5), ((5, 2), 2), ((0, None), 5), ((0, 137), 5), ((), 0)],
)  # fmt: skip
def test_the_exit_code_is_the_worst(codes: tuple[int | None, ...], expected: int) -> None:
    """In the contract's order; what was not run or has crashed is incomplete."""
    found = [
        None if code is None else Entry("done" if code in {0, 1, 3, 4} else "failed", {}, 1, exit_code=code)
        for code in codes
    ]
    assert cli.worst(found) == expected


def test_the_documents_examples_are_campaigns() -> None:
    """Each file that docs/campaigns.md shows, and the one of `--help`, can be read and makes the runs it speaks of."""
    page = (Path(__file__).parent.parent / "docs" / "campaigns.md").read_text(encoding="utf-8")
    shown = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shown += [
        textwrap.dedent(cli._EPILOG.partition("slots.toml:\n")[2].partition("  tokenswarm campaign")[0])
    ]
    assert [len(planned(text)) for text in shown] == [2, 6, 2]
