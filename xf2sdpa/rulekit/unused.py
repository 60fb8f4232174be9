"""Whether an import, a guard or a statement around them is needed by anything that stays."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import NEVER_RELEASED, is_ours
from xf2sdpa.analysis.imports import (
    GuardNode,
    ImportNode,
    bound_name,
    brings_ours,
    is_message,
    loads_from,
    outermost_guard,
    scope_of,
    serves_questions,
    whole_name,
)
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.messages import only_tells
from xf2sdpa.rulekit.off_limits import registered_operators
from xf2sdpa.rulekit.readers import is_attribute, is_reexported


def is_unused(file: FileDraft, statement: ImportNode, alias: ast.alias) -> bool:
    """Whether an import is ours, or only served what went, and nothing that stays needs the name."""
    name = bound_name(statement, alias)
    if alias.name == "*":
        return brings_ours(statement) and not file.handed_on and _star_is_idle(file)
    loads = loads_from(file.names, statement, name)
    if isinstance(scope_of(file.names, statement).node, ast.ClassDef) and is_attribute(file, name):
        return False
    if is_reexported(file, name, used=bool(loads)) or not all(map(file.is_gone, file.names.deletions.get(name, ()))):
        return False
    if not all(map(file.is_gone, loads)):
        return False
    whole = whole_name(statement, alias)
    if is_ours(whole) and registered_operators(file):
        return False
    handed = whole in file.names.meanings
    served_us = handed or "xformers" in name.lower() or serves_questions(whole)
    return is_ours(whole) or (bool(loads) and served_us)


def _star_is_idle(file: FileDraft) -> bool:
    """Whether all names of ours that only a star explains are gone, or come from the helper."""
    stars = [load for load, dotted in file.names.from_stars() if is_ours(dotted)]
    served = set(file.compat_names)
    return bool(stars) and all(file.is_gone(load) or load.id in served for load in stars)


def fails_anyway(file: FileDraft, statement: ImportNode) -> bool:
    """Whether something in an import's guard, or the import itself, has always failed: no release has that name."""
    around = outermost_guard(file.names, statement) or statement
    imports = (part for part in ast.walk(around) if isinstance(part, ast.ImportFrom) and not file.is_gone(part))
    return any(whole_name(part, alias) in NEVER_RELEASED for part in imports for alias in part.names)


def is_only_a_guard(file: FileDraft, guard: GuardNode) -> bool:
    """Whether a guard holds nothing but imports that go and what is said or put in their place."""
    if isinstance(guard, ast.With):
        return all(is_idle(file, statement) for statement in guard.body)
    if isinstance(guard, ast.If):
        about = "xformers" in ast.dump(guard.test).lower()
        idle = all(is_idle(file, s) for s in (*guard.body, *guard.orelse))
        return about and idle and not _is_asked_elsewhere(file, guard)
    parts = [*guard.body, *guard.orelse, *guard.finalbody]
    handled = [s for handler in guard.handlers for s in handler.body]
    fails = all(is_idle(file, s) or is_message(s) or isinstance(s, ast.Raise) for s in handled)
    return fails and all(is_idle(file, s) for s in parts)


def _is_asked_elsewhere(file: FileDraft, guard: ast.If) -> bool:
    """Whether other code chooses its path by what the guard's condition asks."""
    inside = {id(node) for node in ast.walk(guard)}
    asked = {node.id for node in ast.walk(guard.test) if isinstance(node, ast.Name)}
    loads = [load for name in asked for load in file.names.loads.get(name, ())]
    return bool(asked & file.handed_on) or any(id(load) not in inside and not file.is_gone(load) for load in loads)


def is_idle(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether nothing is lost with a statement: an unused import of ours, `xops = None`, a message, `pass`."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return all(is_unused(file, statement, alias) for alias in statement.names)
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
        return statement.value.value is None and all(_is_unread(file, target) for target in statement.targets)
    return isinstance(statement, ast.Pass) or only_tells(file, statement)


def _is_unread(file: FileDraft, target: ast.expr) -> bool:
    if not isinstance(target, ast.Name) or is_reexported(file, target.id):
        return False
    return not file.readers(target.id, scope_of(file.names, file.names.statement(target)))
