"""`pytest.importorskip("xformers")` goes with the last use of what it imports: the tests run without xformers now.

Left behind, it would skip the tests of the rewritten code, in silence, once xformers is uninstalled. Where the file
needs xformers for something else, the statement stays and is named.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import brings_ours, scope_of
from xf2sdpa.analysis.names import imported_or_skipped
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.off_limits import registered_operators
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.IMPORTS
AFTER = ("imports",)
CODES = {"XF145": "a line that skips tests where xformers is missing goes"}
EXAMPLES = (
    Example(
        before="""\
import pytest
import torch

xops = pytest.importorskip("xformers.ops")


def test_shape():
    q = torch.randn(1, 3, 2, 8).half()
    assert xops.memory_efficient_attention(q, q, q).shape == q.shape
""",
        after="""\
import torch


def test_shape():
    q = torch.randn(1, 3, 2, 8).half()
    assert torch.nn.functional.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)
    ).transpose(1, 2).shape == q.shape
""",
    ),
)
_ADVICE = "Once nothing in this file needs xformers, delete the line: without xformers it skips the tests in silence."


def finish(file: FileDraft) -> None:
    """Let the statements go together, once nothing of xformers is used any more; else name them."""
    statements = [statement for statement in _skipping(file) if not file.is_gone(statement)]
    if not statements:
        return
    if file.migrated and not _needs_ours(file) and not any(_is_read(file, statement) for statement in statements):
        for statement in statements:
            file.drop(statement, "XF145")
        return
    for statement in statements:
        message = "the tests after this are skipped, in silence, once xformers is uninstalled"
        file.report(statement, "XF401", message, _ADVICE, FindingKind.KEEPS)


def _skipping(file: FileDraft) -> Iterator[ast.stmt]:
    """The statements that are nothing but such a call, its result kept or not."""
    for call in file.names.calls:
        if imported_or_skipped(call) is not None:
            yield file.names.statement(call)


def _needs_ours(file: FileDraft) -> bool:
    """Whether the file imports something of xformers that stays, or reads operators that it registers."""
    stays = any(brings_ours(s) and not all(map(file.is_gone, s.names)) for s in file.names.imports)
    return stays or bool(registered_operators(file))


def _is_read(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether a name that the statement binds is still read, or the statement is more than such a call."""
    value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
    if value is None or imported_or_skipped(value) is None:
        return True
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return any(not isinstance(target, ast.Name) or _name_is_read(file, statement, target.id) for target in targets)


def _name_is_read(file: FileDraft, statement: ast.stmt, name: str) -> bool:
    loads = loads_of(file.names, name, scope_of(file.names, statement))
    return name in file.handed_on or any(not file.is_gone(load) for load in loads)
