"""Messages that may go with the code around them: what they do is known to be no more than to tell people something."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable

from xf2sdpa.analysis.asking import functions_of
from xf2sdpa.analysis.imports import ImportNode, brings_ours, guards_around, only_says
from xf2sdpa.rulekit.draft import FileDraft


def only_tells(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether a statement only says something, also by a function or a method of this file that only says something.

    What another file of the project defines under such a name is not known to.
    """
    if not only_says(statement, _modules(file)):
        return False
    function = statement.value.func  # type: ignore[attr-defined]
    if isinstance(function, ast.Name):
        own = functions_of(file.tree).get(function.id)
        dotted = file.names.resolve(function)
        return _says(own.body) if own is not None else not (dotted and file.names.is_of_project(dotted))
    return all(_says(method.body) for method in _methods(file, function.attr))


@functools.lru_cache(maxsize=2)
def _modules(file: FileDraft) -> frozenset[str]:
    """The names by which the file has whole modules: `import threestudio`."""
    statements = (statement for statement in file.names.imports if isinstance(statement, ast.Import))
    return frozenset(alias.asname or alias.name for statement in statements for alias in statement.names)


def _methods(file: FileDraft, name: str) -> Iterable[ast.FunctionDef]:
    """The methods of that name of this file's classes; the object may be of any of them."""
    inner = (s for node in file.names.parsed.of(ast.ClassDef) for s in node.body)
    return (s for s in inner if isinstance(s, ast.FunctionDef) and s.name == name)


def _says(body: Iterable[ast.stmt]) -> bool:
    return all(
        isinstance(s, ast.Pass) or only_says(s) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in body
    )


def only_warns(file: FileDraft, statement: ImportNode) -> bool:
    """Whether an import that nothing reads stands in a `try` of its own that only says something if it fails."""
    around = reversed(guards_around(file.names, statement))
    guard = next((node for node in around if isinstance(node, ast.Try)), None)
    if guard is None or guard.finalbody:
        return False
    handled = [s for handler in guard.handlers for s in handler.body]
    return all(map(brings_ours, guard.body)) and all(
        isinstance(s, ast.Pass) or only_tells(file, s) for s in (*guard.orelse, *handled)
    )
