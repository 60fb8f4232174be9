"""Whether what is called like a flag of xformers says that it is there, and nothing else: by where it comes from."""

from __future__ import annotations

import ast
import itertools

from xf2sdpa.analysis.asking import functions_of
from xf2sdpa.analysis.availability import depends_on_more
from xf2sdpa.analysis.imports import is_lookup, makes_words
from xf2sdpa.analysis.names import called_name, first_name
from xf2sdpa.analysis.scopes import Binding
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.messages import only_tells

_DEEPEST = 2
_OTHERS = ("cuda", "environ", "getenv", "args", "config", "cfg", "mps", "capability")
"""Words of what has a say besides: a device, a setting, a person."""


def only_asks(file: FileDraft, test: ast.expr) -> bool:
    """Whether a condition that is called like such a flag is one, as far as this file shows.

    A parameter is what a caller says, `has_xformers = False` a choice; `find_spec("xformers") and cuda` asks for more.
    What another package or nothing here defines is taken by its name.
    """
    asked = test.func if isinstance(test, ast.Call) else test
    first = first_name(asked)
    if not isinstance(first, ast.Name):
        return False
    owner = file.names.scope_at[id(first)].owner(first.id)
    bindings = owner.bindings.get(first.id, []) if owner is not None else []
    if any(binding.dotted and file.names.is_of_project(binding.dotted) for binding in bindings):
        return False  # what it says, and whether for xformers alone, is settled in that file
    if isinstance(test, ast.Call):
        own = functions_of(file.tree).get(first.id) if asked is first else None
        return own is None or _speaks_of_us(ast.Module(own.body, []))
    if not isinstance(test, ast.Name):  # an attribute of a module, but not of an object
        return all(binding.dotted for binding in bindings)
    chosen = bool(bindings) and all(isinstance(b.value, ast.Constant) and not b.value.value for b in bindings)
    scope = owner.node if owner is not None else file.tree
    return not chosen and all(_may_be_flag(file, binding, scope) for binding in bindings)


def does_more(file: FileDraft, test: ast.expr) -> bool:
    """Whether a condition calls a function of the file that may do something besides asking."""
    calls = (part for part in ast.walk(test) if isinstance(part, ast.Call))
    return any(_acts(file, call.func.id) for call in calls if isinstance(call.func, ast.Name))


def _acts(file: FileDraft, name: str, depth: int = 0) -> bool:
    function = functions_of(file.tree).get(name)
    if function is None or depth > _DEEPEST:
        return False
    parts = [part for statement in function.body for part in ast.walk(statement)]
    told = {
        id(inner) for part in parts if isinstance(part, ast.stmt) and only_tells(file, part) for inner in ast.walk(part)
    }
    for part in parts:
        if isinstance(part, ast.Attribute | ast.Subscript) and not isinstance(part.ctx, ast.Load):
            return True
        if isinstance(part, ast.Global | ast.Nonlocal | ast.Yield | ast.YieldFrom | ast.Await | ast.Raise):
            return True
        if isinstance(part, ast.Call) and id(part) not in told and not makes_words(part):
            own = isinstance(part.func, ast.Name) and part.func.id in functions_of(file.tree)
            if own and not _acts(file, called_name(part.func), depth + 1):
                continue
            if own or not is_lookup(part):
                return True
    return False


def _may_be_flag(file: FileDraft, binding: Binding, scope: ast.AST) -> bool:
    around = itertools.takewhile(lambda parent: parent is not scope, file.names.ancestors(binding.node))
    if depends_on_more(around, file.names.asks_for_package):
        return False
    value = binding.value
    if not isinstance(value, ast.expr):
        return bool(binding.dotted)
    parts = value.values if isinstance(value, ast.BoolOp) else [value]
    return all(isinstance(part, ast.Constant) or _asks_for_us(file, part) for part in parts)


def _asks_for_us(file: FileDraft, value: ast.expr) -> bool:
    """Whether a value speaks of xformers alone, by itself or by a function of the file that gives it."""
    function = value.func if isinstance(value, ast.Call) else None
    own = functions_of(file.tree).get(function.id) if isinstance(function, ast.Name) else None
    return _speaks_of_us(ast.Module(own.body, []) if own is not None else value)


def _speaks_of_us(node: ast.AST) -> bool:
    """Whether xformers is named, and nothing that has another say."""
    text = ast.unparse(node).lower()
    return "xformers" in text and not _has_others(text)


def _has_others(text: str) -> bool:
    return any(word in text.lower() for word in _OTHERS)
