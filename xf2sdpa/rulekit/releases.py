"""A variable that held the release of xformers, once nothing of the project reads it.

A public one may be imported by another program. It goes on saying what the code itself has it say where xformers is
missing; where the code has nothing for that, it goes, and is named.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.imports import guards_around
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.rulekit.draft import FileDraft

_ADVICE = "Nothing in this project reads it. If other programs import it from here, give it a value of your own."


def let_go(file: FileDraft, statement: ast.stmt, code: str, note: str) -> None:
    """Drop a statement that only served questions; a public variable keeps a value, or is named under `note`."""
    for name in _public(file, statement):
        without = _without(file, statement, name)
        if without is not None and isinstance(statement, ast.Assign):
            file.replace(statement.value, source_of(without, file.lines), code)  # type: ignore[arg-type]
            return
        if not _has_default(file, statement, name):
            file.report(statement, note, f"{name}, which held xformers' release, goes", _ADVICE)
    file.drop(statement, code)


def _public(file: FileDraft, statement: ast.stmt) -> list[str]:
    """The variables of the module that a statement sets for others, as nothing here reads them and anybody may.

    One that questions of this file read was made for them.
    """
    if not isinstance(statement, ast.Assign) or file.names.function(statement) is not file.tree:
        return []
    names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [name for name in names if not (name.startswith("_") or file.names.loads.get(name))]


def _without(file: FileDraft, statement: ast.stmt, name: str) -> ast.Constant | None:
    """The constant that the guards around a statement set its variable to where xformers is missing."""
    inside = {id(part) for guard in guards_around(file.names, statement) for part in ast.walk(guard)}
    bindings = file.names.module.bindings.get(name, ())
    values = [b.value for b in bindings if id(b.node) in inside and b.node is not statement and b.value is not None]
    constants = [value for value in values if isinstance(value, ast.Constant) and id(value) in inside]
    return constants[0] if len(constants) == len(bindings) - 1 == 1 else None


def _has_default(file: FileDraft, statement: ast.stmt, name: str) -> bool:
    """Whether something above, that always runs, gives a variable a value as well."""
    above = (file.names.statement(binding.node) for binding in file.names.module.bindings.get(name, ()))
    return any(s in file.tree.body and s.lineno < statement.lineno for s in above)
