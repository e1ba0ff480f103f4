"""What a program could say, read from its source: every text with `ANY` in the places that vary.

A text may be put together from names of the same function, from what functions of the same module return, and from either arm of a
condition. What cannot be known without running it is `ANY`.
"""

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Final

__all__ = ["ANY", "Module", "fits", "modules"]

ANY: Final = "\0"
_MOST: Final = 64  # ways to say a thing that are looked at
_DEEP: Final = 4

Function = ast.FunctionDef | ast.AsyncFunctionDef
Named = dict[str, list[tuple[int, ast.AST]]]


class Module:
    """One source file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.functions: dict[str, Function] = {}
        self.owner: dict[ast.AST, Function | None] = {}  # every node, and the function that it stands in
        self._values: dict[ast.AST, tuple[Named, Named]] = {}
        self._own(self.tree, None)

    def _own(self, node: ast.AST, function: Function | None) -> None:
        for child in ast.iter_child_nodes(node):
            self.owner[child] = function
            if isinstance(child, Function):
                self.functions[child.name] = child
                self._own(child, child)
            else:
                self._own(child, function)

    def nodes(self, kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[ast.AST]:
        """All nodes of a kind."""
        return (node for node in self.owner if isinstance(node, kind))

    def texts(self, node: ast.AST, deep: int = 0) -> list[str]:
        """The ways to say an expression."""
        found: list[str] = []
        match node:
            case ast.Constant(value=str(text)):
                found = [text]
            case ast.JoinedStr(values=parts):
                found = self._together(parts, deep)
            case ast.FormattedValue(value=value):
                found = self.texts(value, deep)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = self._together([left, right], deep)
            case ast.BinOp(left=left, op=ast.Mult()):
                found = ["", *self.texts(left, deep)]
            case ast.IfExp(body=one, orelse=other):
                found = _some([*self.texts(one, deep), *self.texts(other, deep)])
            case ast.BoolOp(values=values):
                found = _some([text for one in values for text in self.texts(one, deep)])
            case ast.Name(id=name) if deep < _DEEP:
                found = self._of_name(node, name, deep)
            case (
                ast.Call(func=ast.Name(id=name))
                | ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name))
            ) if deep < _DEEP and name in self.functions:
                found = self.said_by(name, deep + 1)
        return found or [ANY]

    def said_by(self, name: str, deep: int = 0) -> list[str]:
        """What a function returns or yields, or appends to what it returns."""
        found = []
        for node in ast.walk(self.functions[name]):
            match node:
                case ast.Return(value=ast.List(elts=elements)) | ast.Return(value=ast.Tuple(elts=elements)):
                    values: Sequence[ast.AST | None] = elements
                case ast.Return(value=value) | ast.Yield(value=value):
                    values = [value]
                case ast.Call(func=ast.Attribute(attr="append"), args=values):
                    pass
                case ast.Assign(value=ast.ListComp(elt=value)):
                    values = [value]
                case _:
                    continue
            found += [text for one in values if one is not None for text in self.texts(one, deep)]
        return _some([text for text in found if text.strip(ANY)])

    def _of_name(self, node: ast.AST, name: str, deep: int) -> list[str]:
        where: ast.AST = self.owner.get(node) or self.tree
        line = getattr(node, "lineno", 0)
        # The last value that it was given before; what was added to it is there or not.
        given = [
            (at, value)
            for at, value in self._assigned(where).get(name, ())
            if at < line or where is self.tree
        ]
        if not given and where is not self.tree:
            given = self._assigned(self.tree).get(name, [])
        if not given:
            return [ANY]
        latest = max(at for at, _ in given)
        found = [text for at, value in given if at == latest for text in self.texts(value, deep + 1)]
        for at, value in sorted(self._added(where).get(name, ()), key=lambda one: one[0]):
            if latest < at < line:
                tails = self.texts(value, deep + 1)
                found = _some([*(text + tail for text in found for tail in tails), *found])
        return _some(found)

    def _assigned(self, where: ast.AST) -> Named:
        """(line, value) of each name that a function, or the module itself, gives a value."""
        if where not in self._values:
            self._values[where] = self._found(where)
        return self._values[where][0]

    def _added(self, where: ast.AST) -> Named:
        self._assigned(where)
        return self._values[where][1]

    def _found(self, where: ast.AST) -> tuple[Named, Named]:
        given: Named = {}
        added: Named = {}
        nodes = self.tree.body if where is self.tree else ast.walk(where)
        for one in nodes:
            at, into = getattr(one, "lineno", 0), given
            match one:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    pairs = [(name, value)]
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    pairs = [(name, value)]
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                    pairs = [
                        (getattr(target, "id", ""), value)
                        for target, value in zip(targets, values, strict=False)
                    ]
                case ast.NamedExpr(target=ast.Name(id=name), value=value):
                    pairs = [(name, value)]
                case ast.comprehension(target=ast.Name(id=name), iter=value):
                    pairs, at = [(name, value)], value.lineno - 1
                case ast.AugAssign(target=ast.Name(id=name), value=value):
                    pairs, into = [(name, value)], added
                case _:
                    continue
            for name, value in pairs:
                into.setdefault(name, []).append((at, value))
        return given, added

    def _together(self, parts: Sequence[ast.AST], deep: int) -> list[str]:
        each = [self.texts(part, deep) for part in parts]
        return _some("".join(one) for one in product(*each))


def _some(texts: Iterator[str] | Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for text in texts:
        found[text] = None
        if len(found) >= _MOST:
            break
    return list(found)


@lru_cache
def modules(folder: Path) -> tuple[Module, ...]:
    """Of all files of a package."""
    return tuple(map(Module, sorted(folder.rglob("*.py"))))


def fits(message: str, text: str) -> bool:
    """Whether a document's message, with `...` in the places that vary, says what the code says.

    A place of the document may stand for words of the code, too; what the document has in words is in the code's words.
    """
    at = 0
    for number, piece in enumerate(message.split("...")):
        found = text.find(piece, at)
        if found < 0 or (number == 0 and piece and text[:found].strip(ANY)):
            return False
        at = found + len(piece)
    return True
