"""Look-ups of the package by the functions that really look up: not by what a file defines under their names."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.imports import IMPORTING, is_lookup
from xf2sdpa.analysis.names import Names, called_name, first_name

_OTHER_FINDERS = "importlib.machinery."
"""`BuiltinImporter.find_spec` and the like find some modules only."""


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
