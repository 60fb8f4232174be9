"""Whether what is named like a flag (`HAS_XFORMERS`) tells only that xformers is there, by where it comes from."""

from __future__ import annotations

import ast
import functools
import itertools
import re

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.asking import FINDING, asks_alone, asks_for_argument, functions_of
from xf2sdpa.analysis.availability import depends_on_more
from xf2sdpa.analysis.imports import is_lookup, makes_words
from xf2sdpa.analysis.names import called_name, first_name
from xf2sdpa.analysis.scopes import Binding
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.messages import only_tells

AVAILABLE = re.compile(r"xformers\w*(avail|found|there|works|import)|(has|have|is|got)_?(xformers|xops)")
"""What is called like this says whether xformers is there."""
_DEEPEST = 2
_OTHERS = (
    "cuda", "environ", "getenv", "args", "config", "cfg", "mps", "capability", "argv", "opts", "options", "settings",
)  # fmt: skip
"""Words of what has a say besides: a device, a setting, a person."""


def only_asks(file: FileDraft, test: ast.expr) -> bool:
    """Whether a condition named like a flag (`HAS_XFORMERS`) asks for xformers alone, as far as this file shows.

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
    if not isinstance(asked, ast.Name):  # an attribute of a module, but not of an object
        return all(binding.dotted for binding in bindings)
    if isinstance(test, ast.Call):
        return all(binding.dotted for binding in bindings) or _asks_by_function(file, first.id)
    chosen = bool(bindings) and all(isinstance(b.value, ast.Constant) and not b.value.value for b in bindings)
    scope = owner.node if owner is not None else file.tree
    return not chosen and all(_may_be_flag(file, binding, scope) for binding in bindings)


def asks(file: FileDraft, test: ast.expr) -> bool | None:
    """What a condition says where xformers is there; None if it is not known to ask for that alone."""
    said = file.names.asks_for_package(test)
    if said is not None or not isinstance(test, ast.Call):
        return said
    return True if AVAILABLE.search(called_name(test.func).lower()) and only_asks(file, test) else None


def may_be_chosen(file: FileDraft, test: ast.expr) -> bool:
    """Whether a person, a setting or a device has a say in a condition, or in a variable of the file that it reads."""
    read = [part for part in ast.walk(test) if isinstance(part, ast.Name)]
    owners = (
        (part.id, file.names.scope_at[id(part)].owner(part.id)) for part in read if id(part) in file.names.scope_at
    )
    bindings = (b for name, owner in owners if owner is not None for b in owner.bindings.get(name, ()))
    texts = [ast.unparse(test), *(ast.unparse(b.value) for b in bindings if b.value is not None)]
    return any(map(_has_others, texts))


def _asks_by_function(file: FileDraft, name: str) -> bool:
    """Whether a name is that of a function of the file that says whether xformers is there, and no more."""
    functions = functions_of(file.tree)
    single = len(file.names.module.bindings.get(name, ())) == 1
    return single and name in functions and asks_alone(functions[name], functions)


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
    if depends_on_more(around, functools.partial(asks, file)):
        return False
    value = binding.value
    if not isinstance(value, ast.expr):
        return bool(binding.dotted)
    if isinstance(value, ast.BoolOp):
        return all(_asks_for_us(file, part) and _names_us(file, part) for part in value.values)
    return isinstance(value, ast.Constant) or _asks_for_us(file, value)


def _asks_for_us(file: FileDraft, value: ast.expr) -> bool:
    """Whether a value speaks of xformers alone, by itself or by a function of the file that gives it."""
    function = value.func if isinstance(value, ast.Call) else None
    if isinstance(function, ast.Name) and any(not b.dotted for b in file.names.module.bindings.get(function.id, ())):
        return _asks_by_function(file, function.id) or asks_for_given(file, value)
    asked = (
        p.args[0] for p in ast.walk(value) if isinstance(p, ast.Call) and p.args and called_name(p.func) in FINDING
    )
    others = any(isinstance(name, ast.Constant) and not is_ours(str(name.value)) for name in asked)
    return not (others or isinstance(value, ast.IfExp | ast.BinOp) or _has_others(ast.unparse(value)))


def _names_us(file: FileDraft, value: ast.expr) -> bool:
    own = isinstance(value, ast.Call) and called_name(value.func) in functions_of(file.tree)
    return own or _speaks_of_us(value)


def asks_for_given(file: FileDraft, value: ast.expr) -> bool:
    """Whether a function of the file is given the package's name, and says whether that package is there."""
    functions = functions_of(file.tree)
    own = functions.get(called_name(value.func)) if isinstance(value, ast.Call) else None
    return own is not None and _speaks_of_us(value) and asks_for_argument(own, functions)


def _speaks_of_us(node: ast.AST) -> bool:
    """Whether xformers is named, and nothing that has another say."""
    text = ast.unparse(node).lower()
    return "xformers" in text and not _has_others(text)


def _has_others(text: str) -> bool:
    return any(word in text.lower() for word in _OTHERS)
