"""Functions of a project that change in place what they are given: a tensor's rank, or the items of a list.

The walk over one file follows such a change through the functions of that file. A function of another one it knows by
name alone: after a call of such a name, nothing is known any more of what was given.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property

from xf2sdpa.analysis.names import called_name, dotted_name
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.project.files import Project

_RESHAPING = re.compile(r"\.(?:squeeze_|unsqueeze_|transpose_|swapaxes_|swapdims_|t_|resize_|resize_as_|set_)\(")
"""Methods of tensors that give them another shape in place; seldom used."""
_RANKS = frozenset(_RESHAPING.pattern[len(r"\.(?:") : -len(r")\(")].split("|"))
_LISTS = frozenset({"append", "insert", "extend", "pop", "remove", "clear", "reverse", "sort"})
"""Methods of lists that change their items."""
_DEF = re.compile(r"\bdef[ \t]+(\w+)")
_DEEPEST = 3
"""Functions that hand on what they are given are followed so far."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class InPlace:
    """Which functions change what they are given."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._functions: dict[tuple[str, int], list[_Function]] = {}

    @cached_property
    def of_ranks(self) -> frozenset[str]:
        """Those that change the rank of a tensor, and those that hand theirs to one of them."""
        found: set[str] = set()
        for text in self._project.texts.values():
            if _RESHAPING.search(text) is not None:
                found |= {f.name for f in _functions_in(text) if _changes_rank(f)}
        for _ in range(_DEEPEST if found else 0):
            called = re.compile(rf"\b(?:{'|'.join(sorted(found))})\(")
            texts = [text for text in self._project.texts.values() if called.search(text) is not None]
            found |= {f.name for text in texts for f in _functions_in(text) if _hands_on(f, found)}
        return frozenset(found)

    def of_lists(self, file: str) -> frozenset[str]:
        """Those that a file imports, or calls by their module, and hands a variable to: by their names."""
        try:
            calls = parse_once(self._project.text(file)).of(ast.Call)
        except (SyntaxError, ValueError, RecursionError):
            return frozenset()
        bound = {statement.bound or statement.module for statement in self._project.imports(file)}
        handing = (call for call in calls if any(map(_root, (*call.args, *(k.value for k in call.keywords)))))
        names = {called_name(call.func) for call in handing if dotted_name(call.func).partition(".")[0] in bound}
        near = self._near(file)
        return frozenset(name for name in names if self._changes_list(name, near, 0))

    def _near(self, file: str) -> set[str]:
        """The files that a file imports, and those that these do: what they hand on may come from there."""
        graph = self._project.graph
        direct = graph.runs_with(file)
        return direct.union(*map(graph.runs_with, direct))

    def _changes_list(self, name: str, files: set[str], depth: int) -> bool:
        """Whether a function of that name in one of some files changes the items of what it is given."""
        for file, place in self._places.get(name, ()):
            for function in self._at(file, place) if file in files else ():
                given = _given(function)
                handing = {call.func.id for call in _handing(function, given) if isinstance(call.func, ast.Name)}
                if any(_changes_items(node, given) for node in ast.walk(function)):
                    return True
                if depth < _DEEPEST and any(self._changes_list(n, {file}, depth + 1) for n in handing - {name}):
                    return True
        return False

    @cached_property
    def _places(self) -> dict[str, list[tuple[str, int]]]:
        """Where functions are defined, by their names: the files, and where their lines begin."""
        found: dict[str, list[tuple[str, int]]] = {}
        for file, text in self._project.texts.items():
            for match in _DEF.finditer(text):
                found.setdefault(match[1], []).append((file, match.start()))
        return found

    def _at(self, file: str, place: int) -> list[_Function]:
        """The function at a place, parsed by itself: the rest of its file says nothing of it."""
        if (file, place) not in self._functions:
            self._functions[file, place] = _parsed(_function_at(self._project.text(file), place))
        return self._functions[file, place]


def _functions_in(text: str) -> Iterator[_Function]:
    try:
        yield from parse_once(text).of(ast.FunctionDef, ast.AsyncFunctionDef)
    except (SyntaxError, ValueError, RecursionError):
        return


def _changes_rank(function: _Function) -> bool:
    given = _given(function)
    used = (node for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.attr in _RANKS)
    return any(_root(node.value) in given for node in used)


def _hands_on(function: _Function, names: set[str]) -> bool:
    return any(called_name(call.func) in names for call in _handing(function, _given(function)))


def _handing(function: _Function, given: set[str]) -> Iterator[ast.Call]:
    """The calls in a function that get what it is given."""
    for node in ast.walk(function) if given else ():
        if isinstance(node, ast.Call):
            values = (*node.args, *(keyword.value for keyword in node.keywords))
            if any(_root(value) in given for value in values):
                yield node


def _changes_items(node: ast.AST, given: set[str]) -> bool:
    if isinstance(node, ast.Subscript):
        return not isinstance(node.ctx, ast.Load) and _root(node) in given
    if isinstance(node, ast.AugAssign):  # `parts += [mask]`
        return _root(node.target) in given and isinstance(node.value, ast.List | ast.ListComp)
    method = node.func if isinstance(node, ast.Call) else None
    return isinstance(method, ast.Attribute) and method.attr in _LISTS and _root(method.value) in given


def _given(function: _Function) -> set[str]:
    """The parameters of a function."""
    arguments = function.args
    listed = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    return {argument.arg for argument in listed if argument is not None} - {"self", "cls"}


def _function_at(text: str, place: int) -> str:
    """The text of a function, from its first line to the one before the next that is indented no deeper."""
    start = text.rfind("\n", 0, place) + 1
    indent = len(text[start:place]) - len(text[start:place].lstrip())
    body = text.find("\n", text.find(":", place)) + 1
    after = re.compile(rf"^[ \t]{{0,{indent}}}(?![ \t#\n)\]}}])", re.MULTILINE).search(text, body)
    return textwrap.dedent(text[start : after.start() if after is not None else len(text)])


def _parsed(text: str) -> list[_Function]:
    try:
        return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    except (SyntaxError, ValueError, RecursionError):
        return []


def _root(node: ast.expr) -> str:
    """The variable that `x[0][1]` or `*x` is a part of; empty where it is none."""
    while isinstance(node, ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
