"""docs/troubleshooting.md: what it quotes is what the code says, what the code can say of a run is explained, and its commands are read.

Quoted is the code font of a first column under "it says" or "reason"; `...` stands for what varies.
"""

import argparse
import ast
import re
import socket
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from locust_runs import LOCUSTFILES, ROOT, Result, finish, simulator, start
from said_in_code import Module, fits, modules
from test_deploy import complaints
from test_docs import examples

from harness import cli, ending
from harness.errors import ErrorClass
from harness.servers.process import free_port

PAGE: Final = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
HARNESS: Final = ROOT / "harness"
LOCUST: Final = Path(sysconfig.get_path("purelib")) / "locust"  # importing it patches the process
QUOTED: Final = ("it says", "reason")
LEAST: Final = 10  # letters of a message that are no placeholder
# Where the preflight is; what one of them refuses a run for has an entry.
PREFLIGHT: Final = ("questions.py", "trial.py", "server_sizer.py", "llama_sizer.py")


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """The first heading cell of each table, and its rows."""
    for found in re.finditer(r"^\|(.+)\|\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE):
        rows = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found[2].splitlines()
        ]
        yield found[1].split("|")[0].strip(), rows


TABLES: Final = list(tables(PAGE))
MESSAGES: Final = [row[0].strip("`") for heading, rows in TABLES if heading in QUOTED for row in rows]
REASONS: Final = [row[0].strip("`") for heading, rows in TABLES if heading == "reason" for row in rows]


def every(module: Module) -> set[str]:
    """All that a module's expressions can say."""
    kinds = (ast.JoinedStr, ast.Constant, ast.BinOp, ast.IfExp)
    return {text for node in module.nodes(kinds) for text in module.texts(node)}


@pytest.fixture(scope="module")
def said() -> list[str]:
    """By our code, by Locust's and by argparse."""
    texts = {text for module in modules(HARNESS) for text in every(module)}
    for path in (*LOCUST.glob("*.py"), Path(argparse.__file__)):
        texts |= {text.replace("%s", "\0") for text in every(Module(path))}
    return sorted(texts)


def test_every_message_is_one_of_the_code(said: list[str]) -> None:
    """To the letter, but for the places that are marked; a quote is long enough to be searched for."""
    assert len(MESSAGES) == len(set(MESSAGES)) >= 120
    assert [message for message in MESSAGES if len(message.replace("...", "").strip()) < LEAST] == []
    lost = [
        one for one in MESSAGES if not any(fits(_bare(one), text) for text in said if _longest(one) in text)
    ]
    assert lost == []


def _bare(message: str) -> str:
    """Without what is put before it where it is printed."""
    return message.removeprefix("error: ")


def _longest(message: str) -> str:
    return max(_bare(message).split("..."), key=len)


def findings(some: Iterable[Module]) -> Iterator[tuple[str, list[str]]]:
    """(where, the ways it is said) of each reason that a verdict can have."""
    for module in some:
        for node in module.nodes((ast.Tuple, ast.Call)):
            reason = _reason(module, node)
            if reason is not None:
                yield f"{module.path.name}:{getattr(node, 'lineno', 0)}", module.texts(reason)


def _reason(module: Module, node: ast.AST) -> ast.AST | None:
    match node:
        case ast.Tuple(elts=[ast.Constant(value="suspect" | "invalid"), reason]):
            return None if isinstance(reason, ast.Constant) and " " not in str(reason.value) else reason
        case ast.Tuple(elts=[ast.Name(id="status"), reason]) if isinstance(reason, ast.JoinedStr):
            return reason
        case ast.Call(
            func=ast.Attribute(attr="note"), args=[ast.Constant(value="suspect" | "invalid"), reason]
        ):
            return reason
        case ast.Call(func=ast.Name(id="Rule"), args=[_, _, _, reason, *_]):
            return reason
    return None


OTHERS: Final = {  # pairs of a status and something that is no reason
    "junit.py",  # a kind of failure and what it holds
    "guarding_run.py",  # what `guarding.blind` says, looked for by itself
}


def test_every_reason_of_a_verdict_is_explained() -> None:
    """Whatever makes a run suspect or invalid has a row; of what a function says in several ways, each."""
    found = [
        (where, ways) for where, ways in findings(modules(HARNESS)) if where.partition(":")[0] not in OTHERS
    ]
    assert len(found) >= 40
    assert [one for one in found if _words(one[1]) and not any(map(_is_explained, one[1]))] == []
    by_name = {module.path.relative_to(HARNESS).as_posix(): module for module in modules(HARNESS)}
    for path, name in (("guarding.py", "blind"), ("trial_records.py", "_doubts"), ("search.py", "_doubts")):
        ways = by_name[path].said_by(name)
        assert ways
        assert [way for way in ways if not _is_explained(way)] == []


def _is_explained(way: str) -> bool:
    """A rule's `{value}` and the like are places, too."""
    text = re.sub(r"\{[a-z]+\}", "\0", way)
    return any(fits(one, text) for one in REASONS)


def _words(ways: Sequence[str]) -> list[str]:
    """Those that are more than places put together: what they hold is looked at elsewhere."""
    return [way for way in ways if len(way.replace("\0", "").strip()) >= LEAST]


def test_a_new_reason_would_be_missed(tmp_path: Path) -> None:
    """The same look at a module with a reason that is on the page, and one that is not."""
    path = tmp_path / "new.py"
    path.write_text(
        "def of(name, n):\n"
        "    said = f'{n} answers held'\n"
        "    yield 'suspect', f'{name}: {n} of {said} no text'\n"
        "    said = f'{n} answers were too polite'\n"
        "    yield 'suspect', f'{name}: {said}; be rude'\n",
        encoding="utf-8",
    )
    found = [ways for _, ways in findings([Module(path)])]
    assert found == [["\0: \0 of \0 answers held no text"], ["\0: \0 answers were too polite; be rude"]]
    assert [any(map(_is_explained, ways)) for ways in found] == [True, False]


def test_every_reason_for_missing_results_is_explained() -> None:
    """Those that the end of a run, its audit and its journal can have."""
    by_name = {module.path.relative_to(HARNESS).as_posix(): module for module in modules(HARNESS)}
    ways = [
        *by_name["ending.py"].said_by("missing"),
        *by_name["audit.py"].said_by("_what_happened"),
        *by_name["guarding_run.py"].said_by("incomplete"),
        *by_name["scribe.py"].said_by("problem"),
        *by_name["journal.py"].said_by("problem"),
        *by_name["results.py"].texts(ast.Name(id="CRASHED")),
    ]
    assert len(ways) >= 12
    assert [way for way in ways if way.strip("\0") and not any(fits(one, way) for one in MESSAGES)] == []


def test_all_that_the_preflight_refuses_is_explained() -> None:
    """Each ConfigError of the modules that ask the server, and each of those that use them."""
    asked = [module for module in modules(HARNESS) if module.path.name in PREFLIGHT or _asks(module)]
    assert len(asked) > len(PREFLIGHT)
    unexplained: list[tuple[str, str | int, object]] = []
    for module in asked:
        for node in module.nodes(ast.Raise):
            match node:
                case ast.Raise(exc=ast.Call(func=ast.Name(id="ConfigError" | "Unreachable"), args=[text])):
                    ways = module.texts(text)
                    if _words(ways) and not any(fits(one, way) for way in ways for one in MESSAGES):
                        unexplained.append((module.path.name, node.lineno, ways[:2]))
        for name in {"_diagnosis", "_why", "_of_times"} & set(module.functions):
            unexplained += [
                (module.path.name, name, way)
                for way in _words(module.said_by(name))
                if not any(fits(one, way) or fits(one, f"\0 {way}") for one in MESSAGES)
            ]
    assert unexplained == []


def _asks(module: Module) -> bool:
    names = [
        alias.name
        for node in module.nodes(ast.ImportFrom)
        if isinstance(node, ast.ImportFrom) and node.module == "harness.questions"
        for alias in node.names
    ]
    return "Questions" in names and "chat" not in module.path.parts


def test_every_caution_is_explained() -> None:
    """What is said before load and does not end the run."""
    (module,) = [one for one in modules(HARNESS) if one.path.name == "cautions.py"]
    ways = module.said_by("cautions")
    assert len(ways) >= 3
    assert [way for way in ways if not any(fits(one, way) for one in MESSAGES)] == []


def rows(heading: str) -> dict[str, list[str]]:
    """The table of that heading, by the code in its first cells."""
    (found,) = [rows for name, rows in TABLES if name == heading]
    return {row[0].strip("`"): row for row in found}


def test_every_error_class_and_exit_code_is_explained() -> None:
    """And no other."""
    assert list(rows("error class")) == [one.value for one in ErrorClass]
    own = {ending.USAGE, ending.SLO_MISSED, ending.NOT_VALID, ending.INCOMPLETE}
    assert {int(word) for word in rows("code")} == {0, 1, 130} | own
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| ", readme, re.MULTILINE)
    assert not listed or listed == list(rows("code"))


def test_limits_are_the_codes() -> None:
    """Seconds that rows name are the options' defaults; numbers for percentiles are those that carry them."""
    from harness.carried import NEED  # noqa: PLC0415  read where they are used
    from harness.hope import ENOUGH, GONE_NS  # noqa: PLC0415
    from harness.option_table import OPTIONS  # noqa: PLC0415

    defaults = {name: default for name, default, *_ in OPTIONS}
    for name in ("connect-timeout", "first-token-timeout", "idle-timeout", "total-timeout"):
        assert f"`--{name}` ({defaults[name]} s)" in PAGE, name
    assert f"a p90 needs {NEED['p90']} requests, a p95 {NEED['p95']}, a p99 {NEED['p99']:,}" in PAGE
    assert (ENOUGH, GONE_NS) == (10, 30_000_000_000)
    assert "(or the first ten)" in PAGE
    assert "for 30 s. What was" in PAGE


def test_options_and_variables_that_it_names_exist() -> None:
    """Every `--word` is ours, one of Locust's that docs/options.md has, or one of our commands'; every variable is read."""
    from harness.option_table import OPTIONS  # noqa: PLC0415
    from harness.options import unknown_variables  # noqa: PLC0415

    options = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    known = {f"--{name}" for name, *_ in OPTIONS} | set(re.findall(r"--[a-z-]+", options)) | {"--help"}
    known |= {"--streams", "--rate", "--to-influx"}  # plan's and replay's
    known |= {
        "--ulimit",
        "--stream-interval",
        "--expect-workers-max-wait",
        "--master-port",
    }  # Docker's, vLLM's, Locust's
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", PAGE)) - known == set()
    variables = set(re.findall(r"TOKENSWARM_[A-Z_]*[A-Z]", PAGE))
    assert unknown_variables(dict.fromkeys(variables, "")) == []


COMMANDS: Final = list(examples(PAGE))
# Options that a parser and `options.read` refuse, and the row that explains each.
REFUSED: Final = (
    (["--text", "fr"], "... is not known; give one of ..."),
    (["--host", "127.0.0.1:8000"], "--host ... has no scheme: write ..."),
    (["--host", "http://h/v1/chat/completions"], "--host ... is a route; give the base URL: ..."),
    (["--levels", "2", "-u", "3"], "... and --levels exclude each other: ..."),
    (["--repeats", "3"], "--... needs --levels, e.g. --levels 1,2,4"),
    (["--levels", "8", "--requests-per-level", "4"], "--requests-per-level ... cannot keep ... users busy: ..."),
    (["--header", "Authorization: Bearer x"], "--header ... carries a secret, ..."),
    (["--api-mode", "legacy"], "--api-mode: ... is not a mode of backend ...: use one of ..."),
)  # fmt: skip


def test_commands_are_understood_and_wrong_options_refused() -> None:
    """By the real parsers: the page's commands as they stand; wrong ones with the line that is on the page."""
    runs: list[tuple[Mapping[str, str], str, Sequence[str]]] = []
    for one in COMMANDS:
        if one.words[0] == "locust":
            runs.append((one.environment, str(ROOT / one.given("-f")), one.words[1:]))
        else:
            assert one.words[0] == "tokenswarm"
            assert callable(cli._parser().parse_args(one.words[1:]).run)
    assert len(runs) >= 1
    assert len(COMMANDS) >= 8
    wrong: list[tuple[Mapping[str, str], str, Sequence[str]]] = [
        ({}, str(LOCUSTFILES / "openai.py"), ["--host", "http://h", *words]) for words, _ in REFUSED
    ]
    said = complaints([*runs, *wrong])
    assert len(said) == len(REFUSED)
    for (words, line), (given, message) in zip(said, REFUSED, strict=True):
        assert words[2:] == given
        assert message in MESSAGES
        assert fits(message, line), line


def test_common_mistakes_are_told_as_the_page_has_them(tmp_path: Path) -> None:
    """Real processes, a real server behind a key: the port, the key, the kind of server, a page's port."""
    key = {"TOKENSWARM_API_KEY": "the-right-key"}
    health = "/health"
    with (
        simulator("--speak", "vllm", "--model", "m", "--api-key-env", "SIMULATED", health=health, env={"SIMULATED": "the-right-key"}) as server,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):  # fmt: skip
        here = ["--headless", "--host", server.url]
        nobody = f"http://127.0.0.1:{free_port()}"
        page = str(taken.getsockname()[1])
        cases: list[tuple[str, list[str], dict[str, str], str]] = [
            ("openai", [*here[:2], nobody], {}, "... cannot be reached (...); is it up, and is the port right?"),
            ("openai", here, {}, "... answered ... (...): put the API key into the environment variable ..."),
            ("tgi", here, key, "... answered 404 (...): is it a server of the kind ...?"),
            ("openai", ["--host", server.url, "--web-port", page], key, "... is in use (..."),
        ]  # fmt: skip
        with ThreadPoolExecutor(2) as pool:
            made = [
                pool.submit(_ended, tmp_path / f"r{at}", f"{name}.py", words, environment)
                for at, (name, words, environment, _) in enumerate(cases)
            ]
        done = [one.result() for one in made]
    for (_, words, _, message), ended in zip(cases, done, strict=True):
        assert ended.code == ending.USAGE, (words, ended.err)
        (line,) = ended.errors
        assert message in MESSAGES
        assert fits(message, line.removeprefix("tokenswarm: error: ")), line


def _ended(results: Path, locustfile: str, words: Sequence[str], environment: Mapping[str, str]) -> Result:
    return finish(start(locustfile, results, *words, env=environment), results, timeout=60)
