"""Imports of xformers go when nothing in the file uses them any more.

So does the guard around them, if it held nothing but imports that go: the `try` with its message, the
`if is_xformers_available():` with its `else: xformers = None`. A guard that sets a flag stays whole, because other
code reads the flag to choose its path. Names that other files import from this one, that `__all__` lists or that a
string names stay as well, and so does what an `__init__.py` imports for others. Where operators are read that the
import registers with torch, all imports stay.

What remains comes from the helper by one import. A default that stood in for the import (`xops = None`) goes with it,
and so do `warnings` and `packaging`, if only questions about xformers read them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.analysis.imports import (
    GuardNode,
    ImportNode,
    alias_name,
    bound_name,
    brings_ours,
    guards_around,
    is_message,
)
from xf2sdpa.analysis.masks import negation
from xf2sdpa.edits.kinds import AddImport, Edit, ReplaceStatement, TakeArm, TakeElse, TakeHandler, Unguard
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.frames import take_out
from xf2sdpa.rulekit.gates import is_others_matter
from xf2sdpa.rulekit.helper_imports import from_helper, gather, hoisted
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.readers import is_reexported
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.spelling import import_line, last_import
from xf2sdpa.rulekit.stages import Stage
from xf2sdpa.rulekit.unused import fails_anyway, is_only_a_guard, is_unused

STAGE = Stage.IMPORTS
CODES = {"XF140": "an import goes, or takes its names from the helper module"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F

try:
    import xformers.ops as xops
except ImportError:
    print("xformers is not installed")


def f(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(q, k, v):
    b, n, h, d = q.shape
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
    ),
)


def finish(file: FileDraft) -> None:
    """Remove what is unused, until nothing more falls away."""
    if not file.migrated:
        return
    statements = sorted(file.names.imports, key=lambda statement: statement.lineno)
    gather(file, statements)
    before = -1
    while len(file.requests) != before:  # a guard that goes may be the last use of another import
        before = len(file.requests)
        _drop_empty_branches(file)
        _drop_asked_by_name(file)
        for statement in statements:
            if not file.is_gone(statement):
                _remove(file, statement)
    _drop_defaults(file)
    if file.pending():
        file.add_import(import_line(file.compat or "", file.pending()), last_import(file))


def _remove(file: FileDraft, statement: ImportNode) -> None:
    """Take the unused names out of an import."""
    guards = guards_around(file.names, statement)
    if any(is_others_matter(file, guard) for guard in guards) or fails_anyway(file, statement):
        return
    unused = {alias_name(alias) for alias in statement.names if is_unused(file, statement, alias)}
    all_of_it = len(unused) == len({alias_name(alias) for alias in statement.names})
    ours = file.may_lose_imports and brings_ours(statement) and not bars_helper(file)
    if ours and not guards and hoisted(file, statement, "XF140"):
        return
    if (ours and from_helper(file, statement, unused, "XF140", pending=not guards)) or not unused:
        return
    if not guards or (ours and not all_of_it):
        file.drop_names(statement, unused, "XF140")
    elif ours:
        take_out(file, statement, "XF140")
    elif all_of_it:
        _remove_with_guard(file, statement, guards)


def _remove_with_guard(file: FileDraft, statement: ImportNode, guards: Sequence[GuardNode]) -> None:
    """Drop an import that is no longer read, with its guard if that holds nothing else."""
    guard = guards[0]
    chosen = not brings_ours(statement) and all(isinstance(guard, ast.If) for guard in guards)
    only_imports = isinstance(guard, ast.Try) and statement in guard.body and _holds_only_imports(guard)
    if is_only_a_guard(file, guard):
        file.drop(guard, "XF140")
    elif chosen or only_imports:
        file.drop(statement, "XF140")


def _holds_only_imports(guard: ast.Try) -> bool:
    """Whether a `try` sets no flag, so that it serves its other imports as well without ours."""
    if guard.orelse or guard.finalbody or not all(isinstance(s, ast.Import | ast.ImportFrom) for s in guard.body):
        return False
    theirs = {bound_name(s, a) for s in guard.body if isinstance(s, ast.Import | ast.ImportFrom) for a in s.names}
    handled = [s for handler in guard.handlers for s in handler.body]
    return all(is_message(s) or isinstance(s, ast.Pass | ast.Raise) or _assigns_only(s, theirs) for s in handled)


def _assigns_only(statement: ast.stmt, names: set[str]) -> bool:
    if not isinstance(statement, ast.Assign):
        return False
    return all(isinstance(target, ast.Name) and target.id in names for target in statement.targets)


def _drop_defaults(file: FileDraft) -> None:
    """Drop `name = None` that stood in for an import: the helper's import binds the name now, or nothing reads it."""
    for statement in file.tree.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        if not isinstance(target, ast.Name) or file.is_gone(statement):
            continue
        bindings = file.names.module.bindings[target.id]
        imports = [binding.node for binding in bindings if is_ours(binding.dotted)]
        stands_in = any(binding.node is statement and binding.is_fallback for binding in bindings)
        if stands_in and imports and (_is_bound_later(file, target) or _is_lost(file, target, imports)):
            file.drop(statement, "XF140")


def _drop_empty_branches(file: FileDraft) -> None:
    """Drop `if FLAG:` of which nothing is left, instead of leaving it a `pass`; its `else` stays, negated."""
    replaced = {id(edit.node) for edit in file.edits if isinstance(edit, ReplaceStatement) and edit.text}
    replaced |= {id(node) for node in map(_unframed, file.edits) if node is not None and _leaves_something(file, node)}
    for node in file.names.parsed.of(ast.If):
        if file.is_gone(node) or _is_elif(file, node):
            continue
        if not all(file.is_gone(s) and id(s) not in replaced for s in node.body):
            continue
        if not node.orelse and _is_as_it_was(file, node):
            file.drop(node, "XF140")
        elif _stays_an_else(file, node):
            file.ask(TakeElse(node, negation(node.test, file.lines)), "XF140")


def _unframed(edit: Edit) -> ast.stmt | None:
    """The statement that an edit takes the frame of."""
    return edit.node if isinstance(edit, Unguard | TakeHandler | TakeArm) else None


def _leaves_something(file: FileDraft, node: ast.stmt) -> bool:
    """Whether some statement in another one stays."""
    return any(isinstance(part, ast.stmt) and not file.is_gone(part) for part in ast.walk(node))


def _is_elif(file: FileDraft, node: ast.stmt) -> bool:
    return file.lines[node.lineno - 1].encode()[node.col_offset :].startswith(b"elif")


def _stays_an_else(file: FileDraft, node: ast.If) -> bool:
    """Whether an `if` has an `else`, no `elif`, of which something stays; and its condition is idle and as it was."""
    if not node.orelse or not _is_as_it_was(file, node):
        return False
    alone = len(node.orelse) > 1 or not (isinstance(node.orelse[0], ast.If) and _is_elif(file, node.orelse[0]))
    return alone and not all(map(file.is_gone, node.orelse))


def _is_as_it_was(file: FileDraft, node: ast.If) -> bool:
    """Whether the condition of an `if` is idle, and no edit touches it or the `if` itself."""
    edited = {id(edit.node) for edit in file.edits if not isinstance(edit, AddImport)}
    untouched = not any(id(part) in edited for part in ast.walk(node.test))
    return is_idle(node.test) and untouched and id(node) not in edited


def _drop_asked_by_name(file: FileDraft) -> None:
    """Drop `try: xops / except NameError: import xformers.ops as xops` once nothing else reads the name."""
    for node in file.names.parsed.of(ast.Try):
        first = node.body[0] if len(node.body) == 1 else None
        name = first.value if isinstance(first, ast.Expr) else None
        if not isinstance(name, ast.Name) or file.is_gone(node):
            continue
        handled = [s for handler in node.handlers for s in handler.body]
        brought = {bound_name(s, a) for s in handled if isinstance(s, ast.Import | ast.ImportFrom) for a in s.names}
        only = all(map(brings_ours, handled)) and brought == {name.id} and not (node.orelse or node.finalbody)
        owner = file.names.scope_at[id(name)].owner(name.id)
        readers = file.readers(name.id, owner) if owner is not None else []
        if only and readers == [name] and not is_reexported(file, name.id, used=True):
            file.drop(node, "XF140")


def _is_bound_later(file: FileDraft, target: ast.Name) -> bool:
    """Whether the helper's import binds a variable before anything reads it."""
    line = file.bound_at_top.get(target.id, 0)
    readers = file.readers(target.id, file.names.module)
    return target.lineno < line and not any(target.lineno <= load.lineno <= line for load in readers)


def _is_lost(file: FileDraft, target: ast.Name, imports: list[ast.AST]) -> bool:
    """Whether nothing reads a variable any more, and the imports that bound it are gone."""
    unread = not is_reexported(file, target.id) and not file.readers(target.id, file.names.module)
    return unread and all(map(file.is_gone, imports))
