"""A constant in a function goes whose last readers went: the release of xformers that a dropped check asked for.

Only what the function assigns once and something read before, and only to a plain variable of its own.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.readers import is_written
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.TIDYING
AFTER = ("orphaned_imports",)
CODES = {"XF153": "a constant goes, as all that read it has gone"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers
import xformers.ops as xops


def attend(q, k, v):
    needed = "0.0.20"
    if xformers.__version__ < needed:
        raise RuntimeError("xformers is too old")
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def attend(q, k, v):
    b, n, h, d = q.shape
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
        helper=True,
    ),
)
_BY_NAME = ("locals", "vars", "eval", "exec")


def finish(file: FileDraft) -> None:
    """Remove what nothing reads any more."""
    if not file.anything_gone():
        return
    for scope in file.names.scopes.values():
        if not isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for name in scope.bindings:
            statement = _constant(scope, name)
            if statement is not None and _lost_its_readers(file, scope, name) and _has_neighbours(file, statement):
                file.drop(statement, "XF153")


def _constant(scope: Scope, name: str) -> ast.Assign | None:
    """The statement that gives a variable its only value, a constant, and no other variable one."""
    statement = scope.bindings[name][0].node
    if len(scope.bindings[name]) > 1 or not isinstance(statement, ast.Assign):
        return None
    plain = len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name)
    return statement if plain and isinstance(statement.value, ast.Constant) else None


def _lost_its_readers(file: FileDraft, scope: Scope, name: str) -> bool:
    """Whether something read a variable, and nothing does so any more."""
    loads = loads_of(file.names, name, scope)
    if not loads or name in file.names.deletions or any(file.names.loads.get(word) for word in _BY_NAME):
        return False
    return all(map(file.is_gone, loads)) and not is_written(file, name)


def _has_neighbours(file: FileDraft, statement: ast.Assign) -> bool:
    """Whether something is left of the block without it."""
    parent = file.names.parents[id(statement)]
    blocks = [block for _, block in ast.iter_fields(parent) if isinstance(block, list) and statement in block]
    return any(s is not statement and not file.is_gone(s) for block in blocks for s in block)
