"""The walks through the code that docs/design.md tells: every file and function is there, and every hop is one.

Source is read, not run, but for the last test: it sends a request and looks at the stack where its bytes leave.
"""

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import pytest
from locust_runs import run, simulator

ROOT: Final = Path(__file__).parent.parent
HARNESS: Final = ROOT / "harness"
DESIGN: Final = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
WALKS: Final = (
    "From arrival to record",
    "From record to Grafana, report and verdict",
    "From the command line to where it acts",
)
MOST_HOPS: Final = 28  # of a walk
_HOP: Final = re.compile(
    r"(?P<number>\d+)\. (?:by `(?P<by>\w+)`, )?`(?P<place>[^`]+\.py: [^`]+)`(?P<rest>.*)"
)
_PLACE: Final = re.compile(r"`([\w/]+\.py): ([\w., ]+)`")
_FILE: Final = re.compile(r"`([\w/]+\.py)(?::[^`]*)?`")

# A locustfile that says who is on the stack, from its task on, when its request goes to the socket.
TELLS: Final = """
import json, traceback
from pathlib import Path
from gevent import socket
from locust import task
from harness.users import LLMUser

sendall = socket.socket.sendall

def told(self, data, *rest):
    stack = [(Path(frame.filename).name, frame.name) for frame in traceback.extract_stack()]
    if ("locustfile.py", "talk") in stack:
        Path("STACK").write_text(json.dumps(stack[stack.index(("locustfile.py", "talk")) + 1 : -1]))
    return sendall(self, data, *rest)

socket.socket.sendall = told

class Chat(LLMUser):
    @task
    def talk(self):
        self.ask()
"""
WAY: Final = ["users.py", "client.py", "engine.py", "connection.py"]


@dataclass(frozen=True)
class Hop:
    """One line of a walk."""

    text: str
    by: str | None  # what lies between it and the one before, where that does not call it
    file: str
    functions: tuple[str, ...]
    beside: tuple[tuple[str, str], ...]  # (file, function) that it calls, too

    @property
    def called(self) -> str:
        """What whoever calls it has to write: the class, where it is made."""
        name = self.functions[0]
        return name.removesuffix(".__init__").rpartition(".")[2]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _hop(line: str) -> Hop | None:
    if (found := _HOP.fullmatch(line)) is None:
        return None
    file, _, names = found["place"].partition(": ")
    beside = tuple((path, name) for path, told in _PLACE.findall(found["rest"]) for name in _names(told))
    return Hop(line, found["by"], file, _names(names), beside)


def _section(heading: str) -> str:
    return DESIGN.partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]


def _chains(heading: str) -> list[list[Hop]]:
    """The walk's lists; each begins with 1."""
    found: list[list[Hop]] = []
    for line in _section(heading).splitlines():
        if hop := _hop(line):
            if line.startswith("1. "):
                found.append([])
            found[-1].append(hop)
    return found


CHAINS: Final = [
    pytest.param(chain, id=f"{heading.split()[1]}-{at}")
    for heading in WALKS
    for at, chain in enumerate(_chains(heading))
]


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((HARNESS / file).read_bytes())


def _defined(file: str, name: str) -> ast.AST | None:
    """A function, a method as `Class.method`, a class, or a constant of a module."""
    place: ast.AST = _tree(file)
    for part in name.split("."):
        within = place.body if isinstance(place, ast.Module | ast.ClassDef) else []
        inside = next((one for one in within if _name_of(one) == part), None)
        if inside is None:
            return None
        place = inside
    return place


def _name_of(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return None


def _said(tree: ast.AST, *, texts: bool = False) -> set[str]:
    """Every name that code writes; with `texts` also the words of its texts, but for what is only documentation."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.Constant(value=str(text)) if texts and " " not in text.strip()[:20]:
                found.update(re.findall(r"\w+", text))
    return found


def _mentions(hop: Hop, name: str) -> bool:
    """Whether one of the hop's functions writes this name."""
    return any(name in _said(node) for one in hop.functions if (node := _defined(hop.file, one)) is not None)


def _is_between(name: str, before: list[Hop], hop: Hop) -> bool:
    """Whether two modules share this name; within one, two of the functions that are gone through."""
    others = {one.file for one in before} - {hop.file}
    if name in _said(_tree(hop.file), texts=True) and any(
        name in _said(_tree(file), texts=True) for file in others
    ):
        return True
    return _mentions(hop, name) and any(_mentions(one, name) for one in before if one.file == hop.file)


def test_there_are_three_walks_and_every_line_of_them_is_read() -> None:
    """None is so long that nobody goes it, and no line is passed over because it is written otherwise."""
    for heading in WALKS:
        lines = [line for line in _section(heading).splitlines() if re.match(r"\d", line)]
        chains = _chains(heading)
        assert 10 < sum(len(chain) for chain in chains) == len(lines) <= MOST_HOPS, heading
        for chain in chains:
            assert [hop.text.partition(".")[0] for hop in chain] == [
                str(at) for at in range(1, len(chain) + 1)
            ]


@pytest.mark.parametrize("heading", WALKS)
def test_every_file_that_a_walk_names_is_there(heading: str) -> None:
    """Also those it only mentions."""
    files = set(_FILE.findall(_section(heading)))
    assert {file for file in files if not ((HARNESS / file).is_file() or (ROOT / file).is_file())} == set()


@pytest.mark.parametrize("chain", CHAINS)
def test_every_function_that_a_walk_names_is_there(chain: list[Hop]) -> None:
    """A method under its class."""
    told = [(hop.file, name) for hop in chain for name in hop.functions] + [
        pair for hop in chain for pair in hop.beside
    ]
    assert [pair for pair in told if _defined(*pair) is None] == []


@pytest.mark.parametrize("chain", CHAINS)
def test_every_hop_of_a_walk_is_one(chain: list[Hop]) -> None:
    """The one before calls it; or both it and one before it write the name of what lies between them."""
    for before, hop in pairwise(chain):
        if hop.by is None:
            assert _mentions(before, hop.called), f"{before.text}\n  does not call\n{hop.text}"
        else:
            assert _is_between(hop.by, chain[: chain.index(hop)], hop), hop.text
    for hop in chain:
        for _, name in hop.beside:
            called = name.removesuffix(".__init__").rpartition(".")[2]
            assert _mentions(hop, called) or hop.by == called, f"{hop.text}\n  does not write {called}"


def test_a_hop_that_is_none_is_found() -> None:
    """The reading that these tests rest on."""
    good = _hop("2. `load.py: Load.keep` and so on (`live.py: Live.add`).")
    assert good is not None
    assert (good.by, good.file, good.functions) == (None, "load.py", ("Load.keep",))
    assert good.beside == (("live.py", "Live.add"),)
    assert _mentions(good, "append")
    assert not _mentions(good, "perform")
    assert _defined("load.py", "Load.perform") is None
    assert _hop("2. load.py does it") is None


@pytest.mark.parametrize(
    ("told", "instead", "check"),
    [
        (
            "2. `load.py: Load.take`",
            "2. `load.py: Load.takes`",
            test_every_function_that_a_walk_names_is_there,
        ),
        ("2. `load.py: Load.take`", "2. `load.py: Load.totals`", test_every_hop_of_a_walk_is_one),
        ("by `PULSE`", "by `REPORT`", test_every_hop_of_a_walk_is_one),
        (
            "4. `exchange.py: Exchange.stir`",
            "4. `exchange.py: Exchange.finish`",
            test_every_hop_of_a_walk_is_one,
        ),
    ],
    ids=["no-such-function", "not-called", "another-message", "not-there"],
)
def test_a_walk_that_has_gone_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, told: str, instead: str, check: Callable[[list[Hop]], None]
) -> None:
    """As it would be when code was changed and the text was not."""
    assert DESIGN.count(told) == 1
    monkeypatch.setitem(globals(), "DESIGN", DESIGN.replace(told, instead))
    chains = [chain for heading in WALKS for chain in _chains(heading)]
    failed = 0
    for chain in chains:
        try:
            check(chain)
        except AssertionError:
            failed += 1
    assert failed == 1


def test_four_calls_into_another_module_from_the_task_to_the_socket(tmp_path: Path) -> None:
    """As they stand on the stack when a real request's bytes go out; they are the walk's own last hops out."""
    (tmp_path / "locustfile.py").write_text(TELLS.replace("STACK", str(tmp_path / "stack.json")))
    with simulator("--prefill-rate", "50000", "--step-base-ms", "1") as server:
        done = run(
            tmp_path / "locustfile.py", tmp_path / "results", "--host", server.url, "--headless",
            *("--levels", "1", "--requests-per-level", "1", "--prompt-tokens", "20", "--output-tokens", "3"),
        )  # fmt: skip
    assert done.code == 0, done.err
    stack = [tuple(frame) for frame in json.loads((tmp_path / "stack.json").read_bytes())]
    assert [file for file, _ in groupby(file for file, _ in stack)] == WAY
    out = _chains(WALKS[0])[0][-4:]
    told = [(hop.file, name.rpartition(".")[2]) for hop in out for name in hop.functions]
    assert [frame for frame in told if frame != ("users.py", "_begin")] == stack
