"""Context managers that may go on after an exception in their body."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.names import Names, called_name

_SWALLOWING = frozenset({"suppress", "ExitStack", "AsyncExitStack", "raises", "assertRaises", "assertRaisesRegex"})
_LETTING_THROUGH = frozenset(
    {"torch", "contextlib", "warnings", "open", "tempfile", "threading", "time", "tqdm", "accelerate", "deepspeed"}
    | {
        "transformers",
        "diffusers",
        "lightning",
        "pytorch_lightning",
        "numpy",
        "PIL",
        "zipfile",
        "tarfile",
        "nullcontext",
    }
)
"""Packages and functions whose context managers let exceptions through, but for `_SWALLOWING`."""


def swallows(names: Names, manager: ast.expr) -> bool:
    """Whether a context manager may go on after an exception in its body: `contextlib.suppress(ValueError)`.

    One of the file does whose `__exit__` returns something, or which has its `yield` in a `try` with handlers; one
    from elsewhere may, unless it is known not to.
    """
    made = manager.func if isinstance(manager, ast.Call) else manager
    name = called_name(made)
    own = [binding.node for binding in names.module.bindings.get(name, ())]
    if own and all(isinstance(node, ast.ClassDef | ast.FunctionDef) for node in own):
        return any(_catches(node) for node in own if isinstance(node, ast.ClassDef | ast.FunctionDef))
    dotted = names.resolve(made) if isinstance(made, ast.Name | ast.Attribute) else None
    return name in _SWALLOWING or dotted is None or dotted.partition(".")[0] not in _LETTING_THROUGH


def _catches(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Whether a context manager's own code goes on after an exception in its body."""
    if isinstance(node, ast.FunctionDef):
        tries = [part for part in ast.walk(node) if isinstance(part, ast.Try) and part.handlers]
        return any(isinstance(inner, ast.Yield) for part in tries for s in part.body for inner in ast.walk(s))
    ends = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name in ("__exit__", "__aexit__")]
    values = [part.value for end in ends for part in ast.walk(end) if isinstance(part, ast.Return)]
    return any(v is not None and not (isinstance(v, ast.Constant) and not v.value) for v in values)
