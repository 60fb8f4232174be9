"""Names of xformers that somebody puts something else in the place of, while the program runs."""

from __future__ import annotations

import ast
import functools

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import brings_ours, guards_around
from xf2sdpa.rulekit.answers import is_condition
from xf2sdpa.rulekit.draft import FileDraft


def is_replaced(file: FileDraft, load: ast.Name) -> bool:
    """Whether a name stands for what somebody else may have put there by then.

    Another file of the project stores to it; or this file asks whether it is None though nothing here can make it so:
    the import would have failed.
    """
    module = file.names.module
    if file.names.scope_at[id(load)].owner(load.id) is not module:
        return False
    return load.id in file.replaced or _is_asked_for_nothing(file, load.id)


@functools.lru_cache(maxsize=8)
def _is_asked_for_nothing(file: FileDraft, name: str) -> bool:
    bindings = file.names.module.bindings.get(name, ())
    sure = all(
        is_ours(b.dotted) and isinstance(b.node, ast.stmt) and brings_ours(b.node) and not _may_fail(file, b.node)
        for b in bindings
    )
    loads = loads_of(file.names, name, file.names.module)
    later = (load for load in loads if file.names.function(load) is not file.tree)  # than the import of this file
    return sure and any(_is_asked(file, load) for load in later)


def _may_fail(file: FileDraft, statement: ast.stmt) -> bool:
    return bool(guards_around(file.names, statement)) or file.names.function(statement) is not file.tree


def _is_asked(file: FileDraft, load: ast.Name) -> bool:
    """Whether a reading only asks whether there is something: `x is None`, `if x`."""
    parent = file.names.parents[id(load)]
    if isinstance(parent, ast.Compare):
        other = parent.comparators[0]
        return parent.left is load and isinstance(other, ast.Constant) and other.value is None
    return is_condition(file, load)
