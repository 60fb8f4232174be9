"""A `try` goes whose only error nothing in it raises any more: that a package is not installed, once none is asked for.

`except PackageNotFoundError: available = False` around the look-up of xformers' version, with something else in the
same `try`: with the look-up gone, nothing sets the flag to False, and what is left stands on its own.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.names import called_name
from xf2sdpa.edits.kinds import Unguard
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.TIDYING
AFTER = ("dropped_messages",)
CODES = {"XF154": "a try goes whose error nothing in it raises any more"}
EXAMPLES = (
    Example(
        before="""\
import importlib.metadata
import importlib.util

import torch
import torch.nn.functional as F
import xformers.ops as xops

_available = importlib.util.find_spec("xformers") is not None
try:
    _version = importlib.metadata.version("xformers")
    if torch.__version__ < "1.12":
        raise ValueError("torch is too old")
except importlib.metadata.PackageNotFoundError:
    _available = False


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch
import torch.nn.functional as F

_available = True
if torch.__version__ < "1.12":
    raise ValueError("torch is too old")


def attend(q, k, v):
    b, n, h, d = q.shape
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
        helper=True,
    ),
)
_ERROR = "PackageNotFoundError"
_HARMLESS = frozenset(
    {"Version", "LooseVersion", "parse", "ImportError", "ModuleNotFoundError", "RuntimeError", "ValueError"}
)
"""Calls that ask for no package; what another one does is not known."""


def finish(file: FileDraft) -> None:
    """Let what is left of such a `try` stand on its own."""
    if not file.anything_gone() or _ERROR not in file.text:
        return
    for guard in file.names.parsed.of(ast.Try):
        left = [s for s in (*guard.body, *guard.orelse) if not file.is_gone(s)]
        touched = any(file.is_gone(s) for s in guard.body)
        if not (touched and left) or file.is_gone(guard) or guard.finalbody:
            continue  # a `finally` is for whatever may be raised
        if not all(_is_for_packages(file, handler) for handler in guard.handlers):
            continue
        asking = any(_may_ask(node) for s in guard.body if s in left for node in ast.walk(s))
        if not asking and file.ask(Unguard(guard), "XF154"):
            file.take_away(guard, besides=left)


def _is_for_packages(file: FileDraft, handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches nothing but that a package is not installed."""
    kind = handler.type
    if not isinstance(kind, ast.Name | ast.Attribute) or called_name(kind) != _ERROR:
        return False
    return (file.names.resolve(kind) or "").startswith("importlib")


def _may_ask(node: ast.AST) -> bool:
    """Whether something may look a package up."""
    if isinstance(node, ast.Raise):
        return node.exc is None or called_name(node.exc.func if isinstance(node.exc, ast.Call) else node.exc) == _ERROR
    if isinstance(node, ast.Import | ast.ImportFrom | ast.With | ast.AsyncWith | ast.For | ast.AsyncFor):
        return True  # which run code that stands elsewhere
    return isinstance(node, ast.Call) and called_name(node.func) not in _HARMLESS
