"""A `try` around a name that no release of xformers has becomes what its handler does: that has always run.

DINOv2 and what is made of it import `xformers.ops.cross_entropy`, which its authors had and which was never published
(xformers 0.0.16 to 0.0.35): the import fails whether xformers is installed or not, and `except ImportError` gives the
loss. Without a handler for it the file cannot be imported at all, and that is told (XF402).
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import NEVER_RELEASED, is_ours
from xf2sdpa.analysis.imports import whole_name
from xf2sdpa.analysis.names import called_name
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.frames import can_take_handler, take_handler
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.NAMES
CODES = {"XF152": "no release of xformers has that name, so that only what stands in the handler has ever run"}
EXAMPLES = (
    Example(
        before="""\
import torch
import torch.nn.functional as F


try:
    from xformers.ops import cross_entropy

    def loss(target, scores, temperature):
        return -cross_entropy(scores, target, temperature, bw_inplace=True)

except ImportError:

    def loss(target, scores, temperature):
        return torch.sum(target * F.log_softmax(scores / temperature, dim=-1), dim=-1)
""",
        after="""\
import torch
import torch.nn.functional as F


def loss(target, scores, temperature):
    return torch.sum(target * F.log_softmax(scores / temperature, dim=-1), dim=-1)
""",
        helper=True,
    ),
)
_CATCHES = ("ImportError", "Exception", "BaseException")


def finish(file: FileDraft) -> None:
    """Take the handlers of guards whose import always fails."""
    for statement in file.names.imports:
        guard = file.names.parents[id(statement)]
        if not (isinstance(guard, ast.Try) and statement is guard.body[0] and not file.is_gone(guard)):
            continue
        if (
            _always_fails(statement)
            and _catches(guard.handlers[0])
            and can_take_handler(guard)
            and _is_alone(file, guard)
        ):
            take_handler(file, guard, "XF152")


def _always_fails(statement: ast.stmt) -> bool:
    """An import of names that no release has."""
    if not isinstance(statement, ast.ImportFrom):
        return False
    return any(whole_name(statement, alias) in NEVER_RELEASED for alias in statement.names)


def _catches(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches what comes of a name that an installed module lacks."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or called_name(kind) in _CATCHES for kind in kinds)


def _is_alone(file: FileDraft, guard: ast.Try) -> bool:
    """Whether a guard uses no other name of ours, which another rule decides about."""
    for node in ast.walk(guard):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [whole_name(node, alias) for alias in node.names]
        else:
            named = [file.names.resolve(node) or ""]
        if any(is_ours(dotted) and dotted not in NEVER_RELEASED for dotted in named):
            return False
    return True
