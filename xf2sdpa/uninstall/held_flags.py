"""Flags that keep code off xformers where it is not installed: while such code is there, they must go on telling so.

`HAS_XFORMERS` of `env.py` becomes True with the rewrite, as the fast path needs no xformers any more. Where a use of
the installed package stays under it, `if HAS_XFORMERS: from xformers.components import …`, that would fail once
xformers is gone. A file that holds the flag and no call is therefore put back as it was; one with calls cannot be, and
its remaining use is reported by its own code.

The same holds for a flag that decides whether another library is told to use xformers: the library imports it itself.

The other way round, who asks another file whether xformers is there needs no finding (XF403) once that one says True.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.asking import is_question
from xf2sdpa.analysis.foreign import conditions
from xf2sdpa.analysis.imports import brings_ours, is_lookup
from xf2sdpa.analysis.names import called_name, dotted_name
from xf2sdpa.analysis.parsed import Parsed, all_nodes, parse_once
from xf2sdpa.codes import SHIELD
from xf2sdpa.model import FileResult, Finding, FindingKind, Span
from xf2sdpa.project.files import Project
from xf2sdpa.project.import_graph import Import, ImportGraph

_NEEDLE = re.compile(
    r"""^[ \t]*(?:from|import)[ \t](?:[^\n]*[\s,])?(?:xformers|mslk)\b|["'](?:xformers|mslk)["'.]""", re.MULTILINE
)
"""Whatever `_uses` finds has one of these."""
_WORDS = re.compile("xformers|mslk")
_LOOKING_UP = re.compile(r"""\(["'](?:xformers|mslk)[.\w]*["']\)""")
_Name = tuple[str, str]
"""A file, and a name that its module binds; an empty file for what comes from elsewhere."""


class _Text:
    """One file of a project: its tree, and where its imported names come from."""

    def __init__(self, project: Project, file: str) -> None:
        self.file = file
        self.parsed = Parsed(ast.Module([], []))
        self.imported: dict[str, _Name] = {}
        self.modules: dict[str, str] = {}
        """The files that local names stand for as modules."""
        try:
            self.parsed = parse_once(project.text(file))
        except (SyntaxError, ValueError, RecursionError):
            return
        for statement in project.imports(file):
            self._take(project.graph, statement)

    def _take(self, graph: ImportGraph, statement: Import) -> None:
        whole = f"{statement.module}.{statement.name}".strip(".") if statement.name else statement.module
        module = graph.module(self.file, statement.dots, whole)
        if module is not None:
            self.modules[statement.bound or whole] = module
        elif statement.name:
            source = graph.module(self.file, statement.dots, statement.module)
            self.imported[statement.bound] = (source or "", statement.name)

    def names_in(self, node: ast.AST) -> Iterator[_Name]:
        """What an expression or statement reads, by the file that it is taken from."""
        for part in all_nodes(node):
            if isinstance(part, ast.Attribute) and (module := self._module_of(part.value)):
                yield module, part.attr
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                yield self.imported.get(part.id, (self.file, part.id))

    def _module_of(self, node: ast.expr) -> str | None:
        """The file that an expression stands for, as a module."""
        return self.modules.get(dotted_name(node)) if self.modules else None

    @cached_property
    def definitions(self) -> dict[str, list[ast.stmt]]:
        """The statements at the top of the module that bind each name."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.parsed.tree.body:
            for name in _bound(statement):
                found.setdefault(name, []).append(statement)
        return found

    def says(self, name: str) -> list[str]:
        """How a name is defined."""
        return [ast.unparse(statement) for statement in self.definitions.get(name, ())]


class _Texts:
    """The files of a project, each parsed once, when it is first asked for."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[str, _Text] = {}

    def __getitem__(self, file: str | Path) -> _Text:
        if str(file) not in self._known:
            self._known[str(file)] = _Text(self._project, str(file))
        return self._known[str(file)]


def hold_back(results: Collection[FileResult], project: Project) -> Iterator[FileResult]:
    """The files whose flags protect a use that stays, each as it was, with a finding that says so.

    And those whose questions another file answers, without the finding that they are still asked.

    Args:
        results: what became of each file.
        project: the files as they were.
    """
    after = _Texts(project.after(results))
    held = {result.path: result for result in _held_back(results, _Texts(project), after)}
    yield from held.values()
    final = [held.get(result.path, result) for result in results]
    yield from _answered(final, _Texts(project.after(final)) if held else after)


def _answered(results: Sequence[FileResult], texts: _Texts) -> Iterator[FileResult]:
    """The files that ask by functions of other files which say True by now, and by nothing else."""
    for result in results:
        asked = [finding for finding in result.findings if finding.code == "XF403"]
        if not asked:
            continue
        text = texts[result.path]
        calls = text.parsed.of(ast.Call)
        asking = [call for call in calls if is_question(call)]
        left = any(_LOOKING_UP.search(ast.unparse(call)) for call in _saying(text.parsed))
        if len(asking) == len(asked) and not left and all(_says_true(texts, text, call.func) for call in asking):
            kept = [finding for finding in result.findings if finding not in asked]
            yield replace(result, findings=kept)


def _saying(file: Parsed) -> Iterator[ast.Call]:
    """The calls in which the package's name stands as a string."""
    named = (node for node in file.of(ast.Constant) if isinstance(node.value, str) and _WORDS.search(node.value))
    for constant in named:
        yield from (around for around in file.around(constant) if isinstance(around, ast.Call))


def _says_true(texts: _Texts, text: _Text, function: ast.expr) -> bool:
    """Whether a function, looked for where it is imported from, returns True whatever the installation."""
    file, name = next(iter(text.names_in(function)), ("", ""))
    for _ in range(4):  # through files that only hand it on
        if not file:
            return False
        home = texts[file]
        if name in home.definitions:
            return all(_returns_true(home, definition) for definition in home.definitions[name])
        file, name = home.imported.get(name, ("", ""))
    return False


def _returns_true(home: _Text, definition: ast.stmt) -> bool:
    """Whether a definition is a function that does nothing but return True, or a variable that is always True."""
    body = definition.body if isinstance(definition, ast.FunctionDef) else []
    *before, last = body or [definition]
    if not all(isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in before):
        return False
    value = last.value if isinstance(last, ast.Return) else None
    if isinstance(value, ast.Name) and value.id in home.definitions:
        settings = [s for s in home.definitions[value.id] if not _is_lowered_without_torch(s, value.id)]
        given = [s.value if isinstance(s, ast.Assign) else None for s in settings]
        return all(isinstance(v, ast.Constant) and v.value is True for v in given)
    return isinstance(value, ast.Constant) and value.value is True


def _is_lowered_without_torch(statement: ast.stmt, name: str) -> bool:
    """Whether a `try` changes a flag in its handlers alone, and these run only where torch is not installed."""
    if not isinstance(statement, ast.Try) or any(name in _bound(part) for part in (*statement.body, *statement.orelse)):
        return False
    looked_up = [
        node
        for part in statement.body
        for node in ast.walk(part)
        if isinstance(node, ast.Call) and called_name(node.func) in ("version", "distribution")
    ]
    for_packages = all(h.type is not None and called_name(h.type) == "PackageNotFoundError" for h in statement.handlers)
    return for_packages and all(ast.unparse(call).endswith("('torch')") for call in looked_up)


def _held_back(results: Collection[FileResult], before: _Texts, after: _Texts) -> Iterator[FileResult]:
    if not any(map(_can_go_back, results)):
        return
    asked: dict[_Name, str] = {}
    for result in results:
        if not (_WORDS.search(result.new) and _NEEDLE.search(result.new)):
            continue
        text = after[result.path]
        for use, tests in _guarded(text, list(_uses(text.parsed))):
            place = f"`{ast.unparse(use)}` in {result.path}"
            asked |= {name: place for test in tests for name in text.names_in(test) if name not in asked}
    held: set[str] = set()
    for result in results:
        for switch, tests in _told(result):
            place = f"`{switch}` in {result.path}"
            text = before[result.path]
            asked |= {name: place for test in tests for name in text.names_in(test) if name not in asked}
            if str(result.path) not in held and _can_go_back(result) and any(map(_asks, tests)):
                held.add(str(result.path))
                yield _as_it_was(result, place)
    for result, place in _holders(results, before, after, asked):
        if str(result.path) not in held:
            yield _as_it_was(result, place)


def _as_it_was(result: FileResult, place: str) -> FileResult:
    """A file put back, with what there was to tell about it that still holds."""
    kept = [finding for finding in result.findings if finding.needs_xformers]
    return FileResult(result.path, result.old, result.old, findings=[_finding(result, place), *kept])


def _told(result: FileResult) -> Iterator[tuple[str, list[ast.expr]]]:
    """Where a file, as it was, tells another library to use xformers, and what decides whether it does, or what to."""
    for use, deciding in result.switches:
        yield use, [ast.parse(text, mode="eval").body for text in deciding]


def _asks(test: ast.expr) -> bool:
    """Whether an expression asks the installation itself."""
    return any(isinstance(part, ast.Call) and is_lookup(part) for part in ast.walk(test))


def _can_go_back(result: FileResult) -> bool:
    """Whether a file was rewritten and has no call: no other one needs what the rewrite made of it."""
    return result.changed and not (result.sites or result.compat_names)


def _holders(
    results: Collection[FileResult], before: _Texts, after: _Texts, asked: dict[_Name, str]
) -> Iterator[tuple[FileResult, str]]:
    """The rewritten files without a call that define a flag, or a name that it is made of, otherwise than before."""
    by_file = {str(result.path): result for result in results}
    held: set[str] = set()
    waiting, seen = list(asked.items()), set(asked)
    while waiting:
        (file, name), place = waiting.pop()
        result = by_file.get(file)
        if result is None:
            continue
        old = before[file]
        further = {old.imported[name]} if name in old.imported else set()
        further |= {other for s in old.definitions.get(name, ()) for other in old.names_in(s)}
        waiting += [(other, place) for other in further - seen]
        seen |= further
        free = file not in held and _can_go_back(result) and name in old.definitions
        if free and old.says(name) != after[file].says(name):
            held.add(file)
            yield result, place


def _finding(result: FileResult, place: str) -> Finding:
    message = f"left as it was, as its flag keeps {place} off xformers where that is not installed"
    advice = "Rewrite or delete that use, and run again: the flag can then stand for the fast path alone."
    return Finding(str(result.path), Span(1, 0, 1, 0), SHIELD, message, advice, FindingKind.KEEPS)


def _guarded(text: _Text, uses: Sequence[ast.stmt | ast.expr]) -> Iterator[tuple[ast.stmt | ast.expr, list[ast.expr]]]:
    """Each use, with the tests that decide whether it is reached."""
    for use in uses:
        yield use, list(conditions(text.parsed.parents, use))


def _uses(file: Parsed) -> Iterator[ast.stmt | ast.expr]:
    """What fails where xformers is not installed: its import, and the question for its release."""
    for node in file.of(ast.Import, ast.ImportFrom, ast.Call):
        if not isinstance(node, ast.Call):
            yield from [node] if brings_ours(node) else []
        else:
            first = node.args[0] if node.args else None
            literal = first.value if isinstance(first, ast.Constant) else None
            by_string = called_name(node.func) in ("import_module", "__import__") and isinstance(literal, str)
            if (is_lookup(node) and called_name(node.func) != "find_spec") or (by_string and is_ours(str(literal))):
                yield node


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds in its own scope, however deep in its blocks."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return {node.id for node in all_nodes(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
