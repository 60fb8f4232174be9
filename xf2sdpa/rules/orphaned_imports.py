"""Imports go whose last readers went: `logging` of a dropped message, `importlib.util` of an answered question.

Only imports that something read before, and of two kinds: modules that serve messages, guards and questions, and
functions that were only called, of a module from which other names are imported still.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from xf2sdpa.analysis.flow import block_of
from xf2sdpa.analysis.imports import ImportNode, alias_name, bound_name, guards_around, loads_from, scope_of, whole_name
from xf2sdpa.edits.kinds import AddImport
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.readers import is_reexported, is_written
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.TIDYING
AFTER = ("unfailing_tries",)
CODES = {"XF146": "an import goes, as all that read it has gone"}
EXAMPLES = (
    Example(
        before="""\
import logging

try:
    import xformers.ops as xops
except ImportError:
    logging.warning("xformers is not installed")


def f(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        after="""\
from _attention_compat import memory_efficient_attention


def f(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        helper=True,
    ),
)
_SERVING = frozenset(
    {"contextlib", "importlib", "importlib_metadata", "logging", "os", "packaging", "pkg_resources", "pytest", "sys",
     "traceback", "typing", "warnings"}
)  # fmt: skip


def finish(file: FileDraft) -> None:
    """Remove what nothing reads any more."""
    if not file.anything_gone():
        return
    for statement in file.names.imports:
        if file.is_gone(statement) or not _stands_free(file, statement):
            continue
        unread = {alias_name(alias) for alias in statement.names if _is_unread(file, statement, alias)}
        if unread:
            file.drop_names(statement, unread, "XF146")


def _stands_free(file: FileDraft, statement: ImportNode) -> bool:
    """Whether nothing depends on the import's failing, it makes no attribute, and no branch is left empty."""
    in_class = isinstance(scope_of(file.names, statement).node, ast.ClassDef)
    edited = any(edit.node is statement for edit in file.edits if not isinstance(edit, AddImport))
    guards = guards_around(file.names, statement)
    beside = [s for s in block_of(file.names, statement) if s is not statement and not file.is_gone(s)]
    in_branch = bool(beside) and all(isinstance(guard, ast.If) for guard in guards)
    return not (in_class or edited or (guards and not in_branch))


def _is_unread(file: FileDraft, statement: ImportNode, alias: ast.alias) -> bool:
    whole, name = whole_name(statement, alias), bound_name(statement, alias)
    loads = loads_from(file.names, statement, name)
    if alias.name == "*" or not (whole.partition(".")[0] in _SERVING or _is_no_module(file, statement, loads)):
        return False
    left = [load for load in loads if not file.is_gone(load)]
    if not any(file.is_gone(load) for load in loads) or is_reexported(file, name, used=True):
        return False
    if left and (isinstance(statement, ast.ImportFrom) or alias.asname or not _is_bound_elsewhere(file, statement)):
        return False
    if any(_reads(file, load, whole) for load in left):
        return False
    return not is_written(file, name)


def _is_no_module(file: FileDraft, statement: ImportNode, loads: Sequence[ast.Name]) -> bool:
    """Whether a name is a function or a class, of a module that is imported for others too: nothing runs for it."""
    called = [isinstance(p := file.names.parents[id(load)], ast.Call) and p.func is load for load in loads]
    used = (loads_from(file.names, statement, bound_name(statement, alias)) for alias in statement.names)
    others = any(not file.is_gone(load) for each in used for load in each)
    return isinstance(statement, ast.ImportFrom) and bool(called) and all(called) and others


def _is_bound_elsewhere(file: FileDraft, statement: ImportNode) -> bool:
    """Whether a second `import importlib.…` that stays binds the same package."""
    root = statement.names[0].name.partition(".")[0]
    others = (s for s in file.names.imports if s is not statement and not file.is_gone(s) and isinstance(s, ast.Import))
    same = (a for s in others if scope_of(file.names, s) is scope_of(file.names, statement) for a in s.names)
    return len(statement.names) == 1 and any(a.asname is None and a.name.partition(".")[0] == root for a in same)


def _reads(file: FileDraft, load: ast.Name, whole: str) -> bool:
    """Whether a reading of `importlib` may be one of `importlib.util`."""
    node: ast.expr = load
    dotted = load.id
    while isinstance(parent := file.names.parents[id(node)], ast.Attribute) and dotted != whole:
        node, dotted = parent, f"{dotted}.{parent.attr}"
    return dotted == whole or whole.startswith(f"{dotted}.")
