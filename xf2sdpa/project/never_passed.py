"""Which parameters of a project's attention functions nothing in the project passes: asked for masks."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator

from xf2sdpa.analysis.api import ATTENTION, api_name
from xf2sdpa.analysis.calls import bind
from xf2sdpa.analysis.names import called_name
from xf2sdpa.model import Unreached
from xf2sdpa.project.arguments import default_of, is_none, parameters_of
from xf2sdpa.project.callers import Callers
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable

NeverPassed = dict[tuple[str, str], tuple[Unreached, ...]]
"""A function by its qualified name and a parameter of it that is None; the calls that pass one, but are not reached."""


def never_passed(index: Index, callers: Callers, files: Iterable[str]) -> dict[str, NeverPassed]:
    """For some files, the functions whose mask is a parameter that is None in this project, and that parameter.

    Args:
        index: the parsed files of the project.
        callers: answers about calls.
        files: those with calls of the operator.
    """
    found: dict[str, NeverPassed] = {}
    for path in files:
        known: NeverPassed = {}
        with contextlib.suppress(Unknowable, RecursionError):
            known = _known_of(index.file(path), callers)
        if known:
            found[path] = known
    return found


def _known_of(file: Parsed | None, callers: Callers) -> NeverPassed:
    known: NeverPassed = {}
    if file is not None:
        for function, parameter in _candidates(file):
            with contextlib.suppress(Unknowable, RecursionError):
                unreached = callers.always_none(file, function, parameter)
                known[file.names.scopes[id(function)].qualname, parameter] = unreached
    return known


def _candidates(file: Parsed) -> Iterator[tuple[FunctionNode, str]]:
    """The functions with a call whose mask is a parameter as it came in: None by default, or without a default."""
    for call in file.names.calls:
        mask = bind(call, ATTENTION).arguments.get("attn_bias")
        function = file.names.function(call)
        if not isinstance(mask, ast.Name) or not isinstance(function, FunctionNode):
            continue
        if called_name(call.func) != ATTENTION and api_name(file.names.resolve(call.func)) != ATTENTION:
            continue
        scope = file.names.scopes[id(function)]
        bindings = scope.bindings.get(mask.id, [])
        default = default_of(function, mask.id)
        if len(bindings) == 1 and mask.id in parameters_of(function) and (default is None or is_none(default)):
            yield function, mask.id
