"""`op=` picks one of xformers' kernels; SDPA picks its own.

A name, an attribute, a tuple of classes or None is dropped: it changes no result. A call may have effects, so it is
not dropped. An attribute that nothing in the project but such an argument reads, `self.attention_op = None`, goes too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.model import Note
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.OPTIONS
AFTER = ("scale",)
CODES = {
    "XF148": "an attribute that only fed op= goes",
    "XF122": "op= is dropped: SDPA picks the kernel",
    "XF206": "op= is computed by a call",
}
NOTES = ("XF122",)
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def f(x, b, n, h, choose):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, op=choose(q))
"""
    ),
)
PINNED = Note(
    "XF122",
    "the kernel named by op= is no longer pinned",
    "torch.nn.attention.sdpa_kernel pins one of SDPA's.",
)


def decide(draft: CallDraft) -> None:
    """Drop an operator without effects."""
    node = draft.argument("op")
    if node is None:
        return
    if not is_idle(node):
        raise Refusal(
            "XF206",
            "op= is computed by a call, which may do something",
            "Compute it before the call, or drop it.",
        )
    draft.drop("op")
    draft.parts.add("XF122")
    if not (isinstance(node, ast.Constant) and node.value is None):
        draft.notes.append(PINNED)


def finish(file: FileDraft) -> None:
    """Drop the assignments of attributes of `self` that only dropped arguments read."""
    for name in {op.attr for op in _dropped(file)}:
        nodes = [node for node in file.names.parsed.of(ast.Attribute) if node.attr == name]
        left = [node for node in nodes if not file.is_gone(node)]
        stores = [file.names.statement(node) for node in left]
        idle = all(_only_stores(statement, node) for statement, node in zip(stores, left, strict=True))
        named = any(constant.value == name for constant in file.names.strings) or name in file.elsewhere
        if idle and not named and not _is_in_a_class(file, name):
            for statement in stores:
                file.drop(statement, "XF148")


def _dropped(file: FileDraft) -> Iterator[ast.Attribute]:
    """The attributes of `self` that went as `op=`."""
    for site in file.sites:
        op = site.bound.arguments.get("op")
        if (
            isinstance(op, ast.Attribute)
            and isinstance(op.value, ast.Name)
            and op.value.id == "self"
            and file.is_gone(op)
        ):
            yield op


def _only_stores(statement: ast.stmt, target: ast.Attribute) -> bool:
    """Whether a statement does nothing but `self.x = …`, with an idle value."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    of_self = isinstance(target.value, ast.Name) and target.value.id == "self"
    return targets == [target] and of_self and (statement.value is None or is_idle(statement.value))


def _is_in_a_class(file: FileDraft, name: str) -> bool:
    scopes = file.names.scopes.values()
    return any(isinstance(scope.node, ast.ClassDef) and name in scope.bindings for scope in scopes)
