"""Whether what is called like a flag of xformers says that it is there, and nothing else: by where it comes from."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.asking import functions_of
from xf2sdpa.analysis.names import first_name
from xf2sdpa.analysis.scopes import Binding
from xf2sdpa.rulekit.draft import FileDraft

_OTHERS = ("cuda", "environ", "getenv", "args", "config", "cfg", "mps", "capability")
"""Words of what has a say besides: a device, a setting, a person."""


def only_asks(file: FileDraft, test: ast.expr) -> bool:
    """Whether a condition that is called like such a flag is one, as far as this file shows.

    A parameter is what a caller says, `has_xformers = False` a choice; `find_spec("xformers") and cuda` asks for more.
    What another file or nothing here defines is taken by its name.
    """
    if isinstance(test, ast.Call):
        own = functions_of(file.tree).get(test.func.id) if isinstance(test.func, ast.Name) else None
        return own is None or _speaks_of_us(ast.Module(own.body, []))
    first = first_name(test)
    if not isinstance(first, ast.Name):
        return False
    owner = file.names.scope_at[id(first)].owner(first.id)
    bindings = owner.bindings.get(first.id, []) if owner is not None else []
    if not isinstance(test, ast.Name):  # an attribute of a module, but not of an object
        return all(binding.dotted for binding in bindings)
    chosen = bool(bindings) and all(isinstance(b.value, ast.Constant) and not b.value.value for b in bindings)
    return not chosen and all(map(_may_be_flag, bindings))


def _may_be_flag(binding: Binding) -> bool:
    if binding.dotted:
        return True
    value = binding.value
    if not isinstance(value, ast.expr):
        return False
    parts = value.values if isinstance(value, ast.BoolOp) else [value]
    return isinstance(value, ast.Constant) or all(map(_speaks_of_us, parts))


def _speaks_of_us(node: ast.AST) -> bool:
    """Whether xformers is named, and nothing that has another say."""
    text = ast.unparse(node).lower()
    return "xformers" in text and not any(word in text for word in _OTHERS)
