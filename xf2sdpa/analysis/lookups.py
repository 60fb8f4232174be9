"""Look-ups of the package by Python's functions, not by what a file defines; and where it is hidden from them."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.imports import IMPORTING, is_lookup
from xf2sdpa.analysis.names import Names, called_name, first_name

_OTHER_FINDERS = "importlib.machinery."
"""`BuiltinImporter.find_spec` and the like find some modules only."""
_STORING = frozenset({"setdefault", "update", "__setitem__", "setitem", "dict"})


def looks_up(names: Names, call: ast.Call) -> bool:
    """Whether a call asks the installation about xformers, as `is_lookup` says, and no function of the file's own.

    What another file or library defines is taken by its name; a method of an object that is made here is not.
    """
    return is_lookup(call) and not is_own(names, call.func)


def is_own(names: Names, function: ast.expr) -> bool:
    """Whether a function that is called like a look-up is not Python's, as far as the file shows."""
    dotted = names.resolve(function)
    if dotted:
        return dotted.startswith(_OTHER_FINDERS)
    first = first_name(function)
    if isinstance(first, ast.Call):  # `Finder().find_spec`, `__import__("importlib.util").util.find_spec`
        return is_own(names, first.func)
    if not isinstance(first, ast.Name):
        return True
    owner = names.scope_at[id(first)].owner(first.id) if id(first) in names.scope_at else None
    bindings = owner.bindings.get(first.id, ()) if owner is not None else ()
    values = [binding.value for binding in bindings]
    modules = any(isinstance(value, ast.Call) and called_name(value.func) in IMPORTING for value in values)
    return bool(bindings) and not modules and not any(binding.dotted for binding in bindings)


def hides_package(names: Names) -> list[ast.expr | ast.stmt]:
    """Where a file makes imports of xformers fail: `sys.modules["xformers"] = None`, by whatever way that is stored."""
    if not any(is_ours(str(constant.value)) for constant in names.strings):
        return []
    stores: list[ast.expr | ast.stmt] = []
    for node in names.parsed.of(ast.Assign):
        targets = (t for t in node.targets if isinstance(t, ast.Subscript) and _is_modules(names, t.value))
        if any(_is_hidden(target.slice, node.value) for target in targets):
            stores.append(node)
    return [*stores, *(call for call in names.calls if _hides(names, call))]


def _hides(names: Names, call: ast.Call) -> bool:
    """`sys.modules.setdefault("xformers", None)`, `setitem(sys.modules, "xformers", None)`, `patch.dict(…)`."""
    given = list(call.args)
    if isinstance(call.func, ast.Attribute) and _is_modules(names, call.func.value):
        given.insert(0, call.func.value)
    if called_name(call.func) not in _STORING or len(given) < 2 or not _is_modules(names, given[0]):
        return False
    if isinstance(given[1], ast.Dict):
        return any(
            key is not None and _is_hidden(key, value)
            for key, value in zip(given[1].keys, given[1].values, strict=True)
        )
    return len(given) > 2 and _is_hidden(given[1], given[2])


def _is_modules(names: Names, node: ast.expr) -> bool:
    return names.resolve(node) == "sys.modules" or (isinstance(node, ast.Constant) and node.value == "sys.modules")


def _is_hidden(key: ast.expr, value: ast.expr) -> bool:
    named = isinstance(key, ast.Constant) and is_ours(str(key.value))
    return named and isinstance(value, ast.Constant) and value.value is None
