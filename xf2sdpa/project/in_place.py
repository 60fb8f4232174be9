"""Functions of a project that change in place the rank of what they are given.

The walk over one file follows such a change through the functions of that file. A function of another one it knows by
name alone: after a call of such a name, or of what is given such a function, nothing is known any more of what went in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cached_property

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.others import ANY
from xf2sdpa.analysis.parsed import Parsed, parse_once
from xf2sdpa.project.files import Project

_RANKS = frozenset(
    {"squeeze_", "unsqueeze_", "transpose_", "swapaxes_", "swapdims_", "t_", "resize_", "resize_as_", "set_",
     "as_strided_"}
)  # fmt: skip
_RESHAPING = re.compile(rf"\.(?:{'|'.join(sorted(_RANKS))})\(")
"""Methods of tensors that give them another shape in place; seldom used."""
_SAME = frozenset({"to", "type", "float", "half", "double", "bfloat16", "contiguous", "cuda", "cpu", "requires_grad_"})
"""Methods that may return the tensor itself."""
_TAKING_OUT = frozenset(
    {"values", "items", "get", "pop", "enumerate", "zip", "reversed", "list", "tuple", "iter", "next"}
)
"""What gives the items of a container."""
_OF_OBJECTS = frozenset({"__init__", "__call__", "forward"})
"""Methods that are called by the name of the class, or of its object."""
_DEEPEST = 3
"""Functions that hand on what they are given are followed so far."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class InPlace:
    """Which functions change the rank of what they are given, in place."""

    def __init__(self, project: Project) -> None:
        self._texts = project.texts

    @cached_property
    def of_ranks(self) -> frozenset[str]:
        """Their names, and those of functions that hand on to them what they are given.

        With `ANY` among them where one is handed on itself: then it may be called by any name.
        """
        found: set[str] = set()
        for text in self._texts.values():
            if _RESHAPING.search(text) is not None:
                found |= set(_names_of(text, _changes_rank))
        for _ in range(_DEEPEST if found else 0):
            known = frozenset(found)
            for text in self._holding(known):
                found |= set(_names_of(text, lambda function: _hands_on(function, known)))  # noqa: B023 - called at once
                found |= set(_other_names(text, known))
        return frozenset(found)

    def _holding(self, names: frozenset[str]) -> list[str]:
        word = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b")
        return [text for text in self._texts.values() if word.search(text) is not None]


def _names_of(text: str, asked: Callable[[_Function], bool]) -> Iterator[str]:
    """The names that functions of a text are called by: of a class's `__call__`, that of the class."""
    parsed = _parsed(text)
    for function in parsed.of(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda) if parsed is not None else ():
        if parsed is None or not asked(function):
            continue
        around = parsed.parents.get(id(function))
        if isinstance(function, ast.Lambda):
            yield from _targets(around)
        elif function.name in _OF_OBJECTS and isinstance(around, ast.ClassDef):
            yield around.name
        else:
            yield function.name


def _other_names(text: str, names: frozenset[str]) -> Iterator[str]:
    """What else some functions or classes are called: by an import, by an assignment of them or of their objects."""
    parsed = _parsed(text)
    if parsed is None:
        return
    for statement in parsed.of(ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.ClassDef):
        if isinstance(statement, ast.ImportFrom):
            yield from (alias.asname for alias in statement.names if alias.asname and alias.name in names)
        elif isinstance(statement, ast.ClassDef):
            yield from [statement.name] if names.intersection(map(called_name, statement.bases)) else []
        elif statement.value is not None and _is_or_makes(statement.value, names):
            yield from _targets(statement)
    for call in parsed.of(ast.Call):
        if any(_is_or_makes(value, names) for value in _arguments(call)):
            yield ANY


def _is_or_makes(node: ast.expr, names: frozenset[str]) -> bool:
    """Whether an expression is one of some functions, an object of one of some classes, or a `partial` of them."""
    if isinstance(node, ast.Name | ast.Attribute):
        return called_name(node) in names
    if not isinstance(node, ast.Call):
        return False
    return (called_name(node.func) in names and not node.args) or (
        called_name(node.func) == "partial" and any(called_name(argument) in names for argument in node.args[:1])
    )


def _targets(statement: ast.AST | None) -> Iterator[str]:
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from filter(None, map(called_name, targets))


def _parsed(text: str) -> Parsed | None:
    try:
        return parse_once(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _changes_rank(function: _Function) -> bool:
    given = _given(function)
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call)) if given else ()
    changing = (c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in _RANKS)
    return any(_is_given(value, given) for c in changing for value in (_receiver(c), *c.args[:1]))


def _hands_on(function: _Function, names: frozenset[str]) -> bool:
    given = _given(function)
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call)) if given else ()
    return any(called_name(c.func) in names and any(_is_given(v, given) for v in _arguments(c)) for c in calls)


def _receiver(call: ast.Call) -> ast.expr:
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _given(function: _Function) -> set[str]:
    """The parameters of a function, and the variables that may be what they are, or are taken out of it."""
    arguments = function.args
    listed = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    given = {argument.arg for argument in listed if argument is not None} - {"self", "cls"}
    for node in ast.walk(function) if given else ():
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            target, value = node.target, node.iter
        elif isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
        else:
            continue
        if _is_given(value, given):
            given |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
    return given


def _is_given(node: ast.expr, given: set[str]) -> bool:
    """Whether an expression may be one of some variables, or a part of one: `x[0][1]`, `*x`, `x.to(device)`."""
    while isinstance(node, ast.Subscript | ast.Starred):
        node = node.value
    if isinstance(node, ast.Tuple | ast.List):
        return any(_is_given(element, given) for element in node.elts)
    if isinstance(node, ast.Call) and called_name(node.func) in _SAME | _TAKING_OUT:
        return any(_is_given(part, given) for part in (_receiver(node), *node.args))
    return isinstance(node, ast.Name) and node.id in given
