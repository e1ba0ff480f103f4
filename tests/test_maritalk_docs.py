"""docs/maritalk-local.md and its notebook: commands are read as a run reads them, the notebook runs, tables are the published ones.

Neither the licensed program nor its image can be had here: scripts stand in for the program and for docker, and both start the
simulator. The notebook's cells are plain Python, so that no Jupyter is needed to run them.
"""

import ast
import contextlib
import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pandas as pd
import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]
from fixtures_tokenizer import gpt2_folder  # noqa: F401
from jsonschema import Draft7Validator  # type: ignore[import-untyped,unused-ignore]
from locust_runs import ROOT
from test_docs import READER, Example, examples

from harness import cli, maritaca, rows
from harness.servers import beside, docker
from harness.servers.kinds import KINDS
from harness.servers.process import free_port
from harness.simulator.options import read_settings
from harness.target import parse

PAGE: Final = (ROOT / "docs" / "maritalk-local.md").read_text(encoding="utf-8")
NOTEBOOK: Final = json.loads(
    (ROOT / "docs" / "notebooks" / "maritalk-local.ipynb").read_text(encoding="utf-8")
)
ALL: Final = list(examples(PAGE))
BLOCKS: Final = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
IMAGE: Final = "ghcr.io/maritaca-ai/maritalk-local:latest"
LICENCE: Final = "12345-LICENCE-67890"
BIN: Final = Path(sys.executable).parent
SMALL: Final = {
    "levels": "1,2",
    "repeats": 2,
    "prompt-tokens": 40,
    "output-tokens": 8,
    "drop-answers-under": 3,
}

# What is started with `--license KEY --port PORT`, as the program and the image's entry point are.
PROGRAM: Final = """#!{python}
import os, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("Args", sys.argv[1:], flush=True)
if given["--license"] != "{licence}":
    sys.exit("invalid license")
server = ["-m", "harness.simulator", "--port", given["--port"], "--speak", "maritalk"]
os.execv(sys.executable, [sys.executable, *server, "--step-base-ms", "4", "--prefill-rate", "20000"])
"""
# A docker client that writes down its arguments; the container is the program above.
DOCKER: Final = """#!{python}
import json, os, pathlib, sys
pathlib.Path("{calls}").write_text(json.dumps(sys.argv[1:]))
args = sys.argv[1:]
os.execv("{program}", ["{program}", *args[args.index("{image}") + 1 :]])
"""


# --- the notebook


@dataclass(frozen=True)
class Played:
    """A notebook that was run from top to bottom."""

    names: dict[str, Any]  # what its cells left behind
    said: list[str]  # what each code cell printed
    shown: list[Any]  # the value of each code cell's last line, None if it has none
    folder: Path

    @property
    def results(self) -> Path:
        """The run directory."""
        found: Path = self.folder / self.names["folder"]
        return found

    def cell(self, part: str) -> int:
        """The number of the code cell that has this in it."""
        (found,) = (at for at, text in enumerate(sources("code")) if part in text)
        return found


def sources(kind: str) -> list[str]:
    """The texts of all cells of a kind."""
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]


def play(folder: Path, **replaced: str) -> Played:
    """Run all code cells in order, in `folder`, as a kernel does.

    Args:
        folder: where to.
        replaced: what of the cells is something else this time, as name="value": the line `name = ...` of the settings.
    """
    names: dict[str, Any] = {}
    said: list[str] = []
    shown: list[Any] = []
    with contextlib.chdir(folder):
        for source in sources("code"):
            text, value, out = source, None, io.StringIO()
            for name, instead in replaced.items():
                text = re.sub(rf"^{name} = \S+", f"{name} = {instead}", text, flags=re.MULTILINE)
            tree = ast.parse(text)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            with contextlib.redirect_stdout(out):
                exec(compile(tree, "cell", "exec"), names)  # noqa: S102 -- the document under test
                if isinstance(last, ast.Expr):
                    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307
            said.append(out.getvalue())
            shown.append(value)
    return Played(names, said, shown, folder)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The notebook as it comes, but for its numbers."""
    env = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "MARITALK_SWEEP": json.dumps(SMALL),
        "MARITALK_PORT": str(free_port()),
    }
    with mock.patch.dict(os.environ, env):
        yield play(tmp_path_factory.mktemp("simulated"))


def test_the_notebook_is_one() -> None:
    """Format 4.5: ids that differ, every cell's own fields, and code that is Python without magic."""
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert NOTEBOOK["metadata"]["accelerator"] == "GPU"
    cells = NOTEBOOK["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        more = {"outputs", "execution_count"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | more
    for text in sources("code"):
        ast.parse(text)
    assert "SIMULATE = True" in sources("code")[0]
    assert "/work" not in json.dumps(NOTEBOOK)


def test_the_notebook_runs_from_top_to_bottom(simulated: Played) -> None:
    """Requests are those that were asked for, and the console's tables are there."""
    requests = pd.read_parquet(simulated.results / "requests.parquet")
    assert len(requests) == len(simulated.names["requests"]) == 2 * (1 + 2)
    assert set(requests.outcome) == {"ok"}
    assert set(requests.requested_prompt_tokens) == {40}
    assert set(requests.token_source) == {"tokenizer"}  # the simulator's, which the notebook finds
    said = simulated.said[simulated.cell('"locust", "-f"')]
    assert "Maritaca's tables: tokens/s of one request" in said
    assert "System tokens, prompt and output tokens/s of a wave" in said
    assert "audit: 6 offered = 6 ok" in said
    levels = simulated.shown[simulated.cell("levels = pd.read_csv")]
    assert list(levels.concurrency) == [1, 2]
    assert list(levels.succeeded) == [2, 4]
    assert (levels.system_total_tokens_per_s > levels.system_output_tokens_per_s).all()
    assert (simulated.folder / simulated.names["bundle"]).stat().st_size > 10_000
    assert "report.html" in simulated.said[simulated.cell("files.download")]


def test_its_figures_are_the_consoles(simulated: Played) -> None:
    """What it computes with pandas is what `harness.maritaca` computes, rounded."""
    table = simulated.shown[simulated.cell("PUBLISHED = {")]
    requests = rows.load(simulated.results / "requests.parquet")
    for level in (1, 2):
        mine = requests[requests.level == level]
        waves, left = maritaca.system_tokens(mine, level)
        expected = [maritaca.generated_tps(mine), maritaca.total_tps(mine), waves]
        assert (len(waves), left) == (2, 0)
        assert list(table.loc[level])[:3] == [round(float(pd.Series(one).median()), 1) for one in expected]


def test_its_charts_show_the_levels(simulated: Played) -> None:
    """The system's lines go through the levels' figures; each request is a point of the boxes."""
    system = simulated.shown[simulated.cell('("system_total_tokens_per_s", "prompt and output")')]
    levels = simulated.names["levels"]
    assert [list(line.x) for line in system.data] == [[1, 2], [1, 2]]
    assert list(system.data[1].y) == list(levels.system_output_tokens_per_s)
    each = simulated.shown[simulated.cell("add_box")]
    assert [sorted(box.x) for box in each.data] == [["1"] * 2 + ["2"] * 4] * 2
    (fast, slow) = (pd.Series(box.y) for box in each.data)
    assert (fast > slow).all()  # while it is generated; queue and prompt included


def test_with_a_licence_it_runs_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpt2_folder: Path  # noqa: F811
) -> None:  # fmt: skip
    """The licence comes from Colab's secrets, the program is found, and the licence is nowhere afterwards."""
    (tmp_path / "bin").mkdir()
    _program(tmp_path / "bin" / "maritalk")
    userdata = types.SimpleNamespace(get=lambda name: f" {LICENCE}\n" if name == "MARITALK_LICENSE" else "")
    downloads: list[str] = []
    files = types.SimpleNamespace(download=downloads.append)
    colab = types.ModuleType("google.colab")
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    vars(colab).update(userdata=userdata, files=files)
    for name, value in {
        "HOME": str(tmp_path),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "MARITALK_SWEEP": json.dumps({**SMALL, "repeats": 1, "tokenizer": str(gpt2_folder)}),
        "MARITALK_PORT": str(free_port()),
        "MARITALK_LICENSE": "",
    }.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "run"
    folder.mkdir()
    played = play(folder, SIMULATE="False")
    assert os.environ["MARITALK_LICENSE"] == LICENCE
    assert len(played.names["requests"]) == 3
    log = (folder / "maritalk.log").read_text(encoding="utf-8")
    assert "'--license', '***'" in log
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert LICENCE not in "".join(played.said)
    assert not any(LICENCE.encode() in content for content in kept)
    assert downloads == [str(played.names["folder"] / "report.html"), str(played.names["bundle"])]


def _program(path: Path) -> str:
    path.write_text(PROGRAM.format(python=sys.executable, licence=LICENCE))
    path.chmod(0o755)
    return str(path)


def test_published_figures_are_the_published_ones(simulated: Played) -> None:
    """Those of the notebook and of the page, against the list that the simulator's profiles are held to."""
    with (ROOT / "harness/simulator/profiles/published.csv").open(encoding="utf-8") as file:
        lines = [
            line
            for line in csv.DictReader(file)
            if line["stat"] == "median" and "maritalk" in line["profile"]
        ]
    found = {(line["profile"], int(line["clients"]), line["figure"]): float(line["value"]) for line in lines}
    assert len(found) == 4 * 4 * 3
    for machine, levels in simulated.names["PUBLISHED"].items():
        gpu, size = machine.replace(" 40GB", "").replace(" 24GB", "").split(", ")
        profile = f"maritalk-{gpu}-{size.lower()}"
        for level, figures in levels.items():
            names = ("generated_tps", "total_tps", "system_tps")
            assert figures == tuple(found.pop((profile, level, name)) for name in names), (machine, level)
        assert f'"{machine}": "{profile}"' in sources("code")[2]
    assert found == {}
    published = simulated.names["PUBLISHED"]["1xA100 40GB, Small"]
    for at, name in enumerate(("`generated_tps`", "`total_tps`", "*System tokens*")):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
        assert row.endswith(f"| {', '.join(str(figures[at]) for figures in published.values())} |")


def test_the_tables_shown_are_those_of_the_notebooks_own_run() -> None:
    """The page's sample is what the saved notebook printed, and its medians are within 3 % of what was published."""
    outputs = [output for cell in NOTEBOOK["cells"] for output in cell.get("outputs", ())]
    printed = "".join(line for output in outputs for line in output.get("text", ()))
    (sample,) = re.findall(r"^```text\n(Maritaca's tables.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    assert sample in printed
    shown = [line.split() for line in sample.splitlines() if re.match(r" +\d", line)]
    medians = [[float(line[at]) for line in shown[:4]] for at in (2, 5)] + [
        [float(line[1]) for line in shown[4:]]
    ]
    for name, mine in zip(("`generated_tps`", "`total_tps`", "*System tokens*"), medians, strict=True):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
        published = [float(word) for word in row.rstrip(" |").rpartition("| ")[2].split(", ")]
        assert mine == [pytest.approx(figure, rel=0.03) for figure in published], name


# --- the page's commands


def options_of(example: Example) -> Example | None:
    """The `locust` command that an example is, or that a container of ours is to run; None if it is neither."""
    words = example.words
    if words[0] == "locust":
        return example
    if words[:2] != ("docker", "run") or not any(word.startswith("tokenswarm:") for word in words):
        return None
    at = next(at for at, word in enumerate(words) if word.startswith("tokenswarm:"))
    inside = (
        "locust",
        *(word.removeprefix("/") if "/locustfiles" in word else word for word in words[at + 1 :]),
    )
    return Example(example.line, None, {}, inside)


LOCUST: Final = [found for found in map(options_of, ALL) if found]


def test_every_run_is_understood() -> None:
    """Locust's parser and ours take each, for this backend, and what it serves fits its address."""
    assert len(LOCUST) == 4
    cases = [[{}, list(one.replaced("-f", str(ROOT / one.given("-f"))).words[1:])] for one in LOCUST]
    done = subprocess.run(
        [sys.executable, "-c", READER], input=json.dumps(cases), capture_output=True, text=True, check=True, cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("TOKENSWARM", "LOCUST"))},
    )  # fmt: skip
    modes = ["chat" if one.given("--api-mode") == "chat" else "native" for one in LOCUST]
    assert json.loads(done.stdout) == [[["maritalk", mode, False]] for mode in modes]


def test_what_is_served_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `--serve` of the page is MariTalk Local on port 9000, with the licence by name."""
    monkeypatch.setenv("MARITALK_LICENSE", LICENCE)
    texts = [one.given("--serve") for one in LOCUST if one.given("--serve")]
    texts += re.findall(r"`--serve '(maritalk[^']+)'", PAGE)
    assert len(texts) == 3
    for text in texts:
        recipe, _, _ = beside.read(text, parse("http://127.0.0.1:9000"), 600)
        assert (recipe.name, recipe.url) == ("MariTalk Local", "http://127.0.0.1:9000")
        assert list(recipe.command[1:5]) == ["--license", "$MARITALK_LICENSE", "--port", "9000"]


def test_other_commands_of_ours_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tokenswarm ...`: known to its own parser, values included."""
    monkeypatch.setenv("MARITALK_LICENSE", LICENCE)
    found = [example for example in ALL if example.words[0] == "tokenswarm"]
    assert {example.words[1] for example in found} == {"init", "simulate", "bundle", "serve-backend"}
    for example in found:
        args = cli._parser().parse_args(example.words[1:])
        if example.words[1] == "serve-backend":
            assert KINDS[args.kind].recipe(args).command
        if example.words[1] == "simulate":
            read_settings(args)


def test_every_block_is_shell() -> None:
    """Each is read by a shell; the clouds' commands name one machine, which is deleted by the name it was made with."""
    shell = shutil.which("bash") or "sh"
    for block in [*BLOCKS, wrapper()]:
        assert (
            subprocess.run([shell, "-n"], input=block, text=True, check=False, capture_output=True).stderr
            == ""
        )
    gcloud = [example.words for example in ALL if example.words[0] == "gcloud"]
    machines = [words for words in gcloud if words[1:3] == ("compute", "instances") and words[3] != "list"]
    assert [words[3:5] for words in machines] == [("create", "maritalk-1"), ("delete", "maritalk-1")]
    assert {word for words in gcloud for word in words if word.startswith("--zone")} == {
        "--zone=us-central1-c"
    }
    oci = [example for example in ALL if example.words[0] == "oci"]
    assert [one.words[1:4] for one in oci if one.words[2] == "instance"] == [
        ("compute", "instance", verb) for verb in ("launch", "list-vnics", "terminate", "list")
    ]
    (gone,) = (one for one in oci if one.words[3] == "terminate")
    assert gone.given("--preserve-boot-volume") == "false"


def test_nothing_is_opened_to_the_world() -> None:
    """Tunnels and published ports are this machine's alone; no rule lets everybody in."""
    text = "\n".join(BLOCKS)
    assert "0.0.0.0" not in text
    tunnels = [example.words[example.words.index("-L") + 1] for example in ALL if "-L" in example.words]
    assert tunnels == ["127.0.0.1:9000:127.0.0.1:9000"] * 2
    published = re.findall(r"(?:--publish|-p)[ =](\S*\d\S*)", text)
    assert published == ["127.0.0.1:9000:9000"]
    (rule,) = (example.words for example in ALL if "firewall-rules" in example.words)
    assert {word.split("=")[0] for word in rule if word.startswith("--source")} == {"--source-tags"}


# --- docker


def wrapper() -> str:
    """The page's file `maritalk-docker`."""
    (text,) = re.findall(r"^`maritalk-docker`:\n\n```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def docker_runs() -> list[list[str]]:
    """The words of every `docker run` of MariTalk's image, the wrapper's first."""
    runs = [list(example.words) for example in ALL if "docker" in example.words and IMAGE in example.words]
    return [words[words.index("docker") :] for words in runs]


def options(words: Sequence[str], image: str) -> dict[str, str]:
    """Docker's options before the image, with their values; those without have an empty one."""
    flags = {"--rm", "--init", "-d"}
    before, found, at = list(words[2 : words.index(image)]), {}, 0
    while at < len(before):
        has_value = before[at] not in flags
        found[before[at]] = before[at + 1] if has_value else ""
        at += 2 if has_value else 1
    return found


def test_its_containers_are_started_as_ours_are() -> None:
    """With the options that `serve-backend` gives docker for its kinds; what goes to the image is what the program is given."""
    ours = docker.recipe(
        docker.IMAGES["tgi"],
        "m",
        address="127.0.0.1",
        port=9000,
        gpus="all",
        image=IMAGE,
        volume="maritalk-bin",
    )
    known = options(ours.command, IMAGE)
    wrapped, beside_us = docker_runs()
    mine = options(wrapped, IMAGE)
    assert set(mine) <= set(known)
    assert {name: mine[name] for name in ("--rm", "--init", "--gpus")} == {
        "--rm": "",
        "--init": "",
        "--gpus": "all",
    }
    assert mine["--publish"] == known["--publish"].removesuffix("80") + "9000"
    assert mine["--volume"] == known["--volume"].split(":")[0] + ":/root/bin"
    assert wrapped[wrapped.index(IMAGE) + 1 :] == ["$@"]
    other = options(beside_us, IMAGE)
    assert "--publish" not in other
    assert {name: value for name, value in other.items() if name in mine} == {
        name: value for name, value in mine.items() if name != "--publish"
    }
    assert beside_us[beside_us.index(IMAGE) + 1 :] == ["--license", "$MARITALK_LICENSE", "--port", "9000"]
    (client,) = (one for one in ALL if one.words[:2] == ("docker", "run") and "tokenswarm:0.1.0" in one.words)
    assert client.given("--network") == other["--network"]
    assert client.given("--host") == f"http://{other['--name']}:9000"


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker client here")
def test_dockers_own_client_reads_them() -> None:
    """It knows every option, and then finds no daemon where there is none."""
    for words in docker_runs():
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "DOCKER_HOST": "unix:///nobody-here"},
        )
        assert "nobody-here" in done.stderr, done.stderr


def test_the_wrapper_is_served_as_the_program_is(tmp_path: Path) -> None:
    """Ready, asked, ended; docker got the licence, and nobody else saw it."""
    calls = tmp_path / "calls.json"
    program = _program(tmp_path / "maritalk")
    stand_in = tmp_path / "docker"
    stand_in.write_text(DOCKER.format(python=sys.executable, calls=calls, program=program, image=IMAGE))
    script = tmp_path / "maritalk-docker"
    port = free_port()
    script.write_text(wrapper())
    for file in (stand_in, script):
        file.chmod(0o755)
    ask = "import os, urllib.request as r; print(r.urlopen(os.environ['LOCUST_HOST']).read().decode())"
    done = subprocess.run(
        [sys.executable, "-m", "harness", "serve-backend", "maritalk", "--executable", str(script), "--port", str(port),
         "--run", f"{sys.executable} -c {shlex.quote(ask)}"],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "MARITALK_LICENSE": LICENCE},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"status"' in done.stdout
    assert LICENCE not in done.stdout + done.stderr
    got = json.loads(calls.read_text())
    assert got[-4:] == ["--license", LICENCE, "--port", str(port)]
    assert got[: got.index(IMAGE)] == docker_runs()[0][1:-2]


def test_the_compose_file_fits_ours() -> None:
    """By Compose's own schema; on a network that the master is on, with no port published and a GPU asked for."""
    (text,) = re.findall(r"^`maritalk.yml`:\n\n```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    theirs = yaml.safe_load(text)
    ours = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    schema = Draft7Validator(json.loads((ROOT / "tests/schemas/compose-spec.json").read_bytes()))
    assert [error.message for error in schema.iter_errors(theirs)] == []
    ((name, service),) = theirs["services"].items()
    assert name not in ours["services"]
    assert set(service["networks"]) <= set(ours["services"]["master"]["networks"])
    assert (service["image"], "ports" in service) == (IMAGE, False)
    assert [mount.split(":")[0] for mount in service["volumes"]] == list(theirs["volumes"])
    assert [re.sub(r"^\$\{(\w+).*", r"\1", word) for word in service["command"]] == [
        "--license", "MARITALK_LICENSE", "--port", "9000",
    ]  # fmt: skip
    ast.parse(service["healthcheck"]["test"][-1])
    (block,) = (block for block in BLOCKS if "docker compose" in block)
    environment = dict(
        word.split("=", 1)
        for line in block.splitlines()
        for word in shlex.split(line)
        if re.match(r"[A-Z_]+=", word)
    )
    assert environment["TARGET_HOST"] == f"http://{name}:9000"
    assert (ROOT / "locustfiles" / environment["LOCUSTFILE"]).is_file()
    head = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for variable in environment:
        assert re.search(rf"\b{variable}\b", head), variable
