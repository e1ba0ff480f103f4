"""The mutation tests' own tool: which changes it makes, that they reach a function, and when it is content."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from mutation.mutants import mutants
from mutation.trials import KILLED, SURVIVED, UNREACHED, put
from mutation.verdicts import judged

SOURCE = '''"""Text."""
MOST = 3
def inside(at, end):
    """Text."""
    if 0 <= at < end:
        return at + 1
    raise ValueError(f"{at} > {end}")
class Count:
    def __init__(self):
        self.n = 0
    @property
    def double(self):
        return self.n * 2
'''


def names(source: str) -> list[str]:
    return [one.name for one in mutants(source, "x.py")]


def test_every_change_by_hand() -> None:
    """Boundaries, opposites, numbers, operators, what is returned, what is done; nothing of texts."""
    assert names(SOURCE) == [
        *("MOST = 3 -> MOST = 4", "MOST = 3 -> MOST = 2"),
        "inside: 0 <= at < end -> not 0 <= at < end",
        *("inside: 0 <= at < end -> 0 < at < end", "inside: 0 <= at < end -> 0 > at < end"),
        *("inside: 0 <= at < end -> 0 <= at <= end", "inside: 0 <= at < end -> 0 <= at >= end"),
        *("inside: 0 <= at < end -> 1 <= at < end", "inside: 0 <= at < end -> -1 <= at < end"),
        "inside: return at + 1 -> return None",
        "inside: return at + 1 -> return at - 1",
        *("inside: return at + 1 -> return at + 2", "inside: return at + 1 -> return at + 0"),
        "inside: raise ValueError(f'{at} > {end}') -> pass",
        *("Count.__init__: self.n = 0 -> pass", "Count.__init__: self.n = 0 -> self.n = 1"),
        "Count.__init__: self.n = 0 -> self.n = -1",
        "Count.double: return self.n * 2 -> return None",
        "Count.double: return self.n * 2 -> return self.n / 2",
        *(
            "Count.double: return self.n * 2 -> return self.n * 3",
            "Count.double: return self.n * 2 -> return self.n * 1",
        ),
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = a and b", ["x = a and b -> x = a or b"]),
        ("x = not a", ["x = not a -> x = a"]),
        ("x = [i for i in a if i]", ["x = [i for i in a if i] -> x = [i for i in a if not i]"]),
        ("x = min(a)", ["x = min(a) -> x = max(a)"]),
        ("x = a is None", ["x = a is None -> x = a is not None"]),
        ("x = True", ["x = True -> x = False"]),
        ("x += a", ["x += a -> x -= a", "x += a -> pass"]),
        ("f()\nf()", ["f() -> pass", "f() -> pass (2)"]),
        ("for i in a: break", ["break -> continue"]),
        ("def f(a: 'int' = 1): return False", ["f: 1 -> 2", "f: 1 -> 0", "f: return False -> return True"]),
    ],
)
def test_each_kind(code: str, expected: list[str]) -> None:
    """One after the other; the same change twice in one function is told apart by its number."""
    assert names(code) == expected


def test_a_default_is_no_part_of_the_functions_body() -> None:
    """It is computed once, and so a change of it is seen only where the module is imported anew."""
    assert [one.in_function for one in mutants("def f(a=1): return 2", "x.py")] == [False] * 2 + [True] * 3


def test_a_change_reaches_functions_that_are_there(tmp_path: Path) -> None:
    """A property, too, without a new import; and the original's other functions stay."""
    path = tmp_path / "small.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("small", path)
    assert spec is not None
    assert spec.loader is not None
    small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    functions: list[Any] = [small.inside, small.Count.__init__, small.Count.double.fget]
    (tripled,) = [one for one in mutants(SOURCE, str(path)) if one.name.endswith("self.n * 3")]
    assert tripled.in_function
    assert list(tripled.lines) == [13]
    count = small.Count()
    count.n = 5
    assert count.double == 10
    put(tripled.code, tripled.where, functions)
    assert count.double == 15
    assert small.inside(1, 2) == 2


def test_only_what_is_explained_may_survive() -> None:
    """Each survivor needs its entry with a reason, and each entry its survivor."""
    results = {"a": KILLED, "b": SURVIVED, "c -> 1": UNREACHED, "c -> 2": SURVIVED}
    entry = {"module": "m", "mutant": "b", "why": "it is the same"}
    many = {"module": "m", "mutant": "c -> *", "why": "so are these"}
    assert judged("m", results, [entry, many]) == ("| `m` | 4 | 1 | 3 | 0 |", [])
    assert judged("m", results, [entry])[1] == ["    unreached: c -> 1", "    survived: c -> 2"]
    assert judged("m", results, [entry, {**many, "why": " "}])[1] == [
        "    unreached: c -> 1",
        "    survived: c -> 2",
    ]
    killed = dict.fromkeys(results, KILLED)
    assert judged("m", killed, [entry]) == ("| `m` | 4 | 4 | 0 | 0 |", ["    no survivor: b"])
