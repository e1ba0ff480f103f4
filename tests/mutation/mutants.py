"""Every small change to a module that a test should notice.

A comparison gets its neighbour (`<` becomes `<=`) and its opposite, an arithmetic operator another one, a number
one more and one less, a condition its opposite; a returned value becomes None, a statement goes. Texts, annotations,
docstrings, decorators and what a `raise` says stay: what a message says is no arithmetic.

A mutant's name has no line number, so that an entry in config.toml outlives a change elsewhere in its module.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import CodeType
from typing import Final

TEXT_MOST: Final = 90  # characters of code around a change that go into its name
_COMPARED: Final[dict[type, tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: Final[dict[type, type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_SWAPPED: Final = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
_UNTOUCHED: Final = {"annotation", "returns", "decorator_list", "bases", "ctx", "op", "ops"}
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change, and the code of the whole module with it."""

    name: str
    where: str  # the qualified name of the function or class it is in; empty for the module's own level
    lines: range  # of the statement it is in
    in_function: bool  # else it is seen only where the module is imported anew
    code: CodeType


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is."""

    where: str = ""
    lines: range = range(0)
    in_function: bool = False


def mutants(source: str, filename: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines; the module itself is not run."""
    tree = ast.parse(source, filename)
    seen: Counter[str] = Counter()
    for place, change in _changes(tree, (), _Place()):
        name = f"{place.where}: {change}" if place.where else change
        seen[name] += 1
        name = f"{name} ({seen[name]})" if seen[name] > 1 else name
        yield Mutant(name, place.where, place.lines, place.in_function, compile(tree, filename, "exec"))


def _changes(node: ast.AST, above: tuple[ast.AST, ...], place: _Place) -> Iterator[tuple[_Place, str]]:
    """Each change below a node, while it is made: the tree is whole again when the next one is asked for."""
    for field, value in ast.iter_fields(node):
        if field in _UNTOUCHED:
            continue
        for at, child in enumerate(value) if isinstance(value, list) else [(-1, value)]:
            if not isinstance(child, ast.AST) or _is_no_code(child):
                continue
            inside = place.in_function or (field == "body" and isinstance(node, _FUNCTIONS))
            here = _entered(child, replace(place, in_function=inside))
            chain = (*above, node)
            for other in _others(child, node):
                ast.fix_missing_locations(ast.copy_location(other, child))
                around = next((one for one in chain if _is_short(one)), None)
                was = _text(around or child)
                _put(node, field, at, other)
                yield here, f"{was} -> {_text(around or other)}"
                _put(node, field, at, child)
            if not isinstance(child, ast.Raise):
                yield from _changes(child, chain, here)


def _is_no_code(child: ast.AST) -> bool:
    """A docstring, a list of what is public."""
    match child:
        case ast.Expr(ast.Constant(str())):
            return True
        case ast.Assign([ast.Name("__all__")]):
            return True
        case ast.Import() | ast.ImportFrom():
            return True
    return False


def _entered(child: ast.AST, place: _Place) -> _Place:
    if isinstance(child, ast.stmt):
        body = getattr(child, "body", None)
        last = body[0].lineno if body else (child.end_lineno or child.lineno) + 1
        place = replace(place, lines=range(child.lineno, max(last, child.lineno + 1)))
    if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
        inner = f"{place.where}.<locals>." if place.in_function else f"{place.where}." if place.where else ""
        place = replace(place, where=inner + child.name)
    return place


def _put(node: ast.AST, field: str, at: int, child: ast.AST) -> None:
    if at < 0:
        setattr(node, field, child)
    else:
        getattr(node, field)[at] = child


def _text(node: ast.AST) -> str:
    """A node's code on one line; of a statement with a body its head."""
    if isinstance(node, ast.stmt) and hasattr(node, "body"):
        return ast.unparse(node).partition("\n")[0].strip()
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 2 * TEXT_MOST else f"{text[:TEXT_MOST]} ..."


def _is_short(node: ast.AST) -> bool:
    """Whether a node is code that can be told in a name, and all of what may change in it is told."""
    if isinstance(node, ast.expr):
        return len(_text(node)) <= TEXT_MOST
    if isinstance(node, (ast.Module, *_FUNCTIONS, ast.ClassDef, ast.Try, ast.Match)) or not isinstance(
        node, ast.stmt
    ):
        return False
    return not hasattr(node, "body") and len(_text(node)) <= TEXT_MOST


def _others(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place. Nodes are shared with the tree, never changed."""
    yield from _negated(node, parent)
    yield from _computed(node)
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for other in _COMPARED[type(op)]:
                ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    match node:
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.Return(ast.Constant(None | bool())):
            pass  # None is as false as False, and the flag itself is changed
        case ast.Return(ast.expr()):
            yield ast.Return(ast.Constant(None))
        case ast.Expr() | ast.Raise() | ast.AugAssign() | ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()  # without any other assignment, its name would be unknown
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def _computed(node: ast.AST) -> Iterator[ast.AST]:
    """Other operators, numbers, functions in an expression's place."""
    match node:
        case ast.BinOp(left, op, right):
            yield ast.BinOp(left, _COMPUTED[type(op)](), right)
        case ast.AugAssign(target, op, value):
            yield ast.AugAssign(target, _COMPUTED[type(op)](), value)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as number):
            yield ast.Constant(number + 1)
            yield ast.Constant(number - 1)
        case ast.Call(ast.Name(name), args, keywords) if name in _SWAPPED:
            yield ast.Call(ast.Name(_SWAPPED[name], ast.Load()), args, keywords)
        case ast.Call(ast.Attribute(owner, name), args, keywords) if name in _SWAPPED:
            yield ast.Call(ast.Attribute(owner, _SWAPPED[name], ast.Load()), args, keywords)


def _negated(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    """The opposite of a condition that has none among its own changes."""
    tests = (ast.If, ast.IfExp, ast.While)
    is_test = (isinstance(parent, tests) and node is parent.test) or (
        isinstance(parent, ast.comprehension) and node in parent.ifs
    )
    has_its_own = isinstance(node, ast.UnaryOp) or (isinstance(node, ast.Compare) and len(node.ops) == 1)
    if is_test and not has_its_own:
        yield ast.UnaryOp(ast.Not(), node)
