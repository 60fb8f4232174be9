"""What all callers in a project pass to its attention functions: tensors of one rank, or None, two calls deep.

Asked only where the function does not show it itself: for the parameters that query, key, value and the mask are made
of. A call that cannot be followed, or of which one argument is not known, leaves the parameter unknown.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from xf2sdpa.analysis.argument_values import argument_values
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.sites import QKV, CallSite, find_sites
from xf2sdpa.analysis.values import NONE, NUMBER, DType, OneOf, Tensor, Value, told_by_callers
from xf2sdpa.project.arguments import Call, argument_of, default_of, is_none, parameters_of
from xf2sdpa.project.callers import Callers
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable

_DEEPEST = 2
FromCallers = dict[tuple[str, str], Value]
"""By the function's qualified name and the parameter."""


def ranks_from_callers(index: Index, callers: Callers, files: Iterable[str]) -> dict[str, FromCallers]:
    """For some files, what is passed for the parameters of their attention functions, where that is known.

    Args:
        index: the parsed files.
        callers: answers about calls.
        files: those with calls of the operator.
    """
    found = {}
    for path in files:
        with contextlib.suppress(Unknowable, RecursionError):
            file = index.file(path)
            if file is not None and (known := _Asked(callers).of_file(file)):
                found[path] = known
    return found


class _Asked:
    """The questions about one file."""

    def __init__(self, callers: Callers) -> None:
        self.callers = callers

    def of_file(self, file: Parsed) -> FromCallers:
        """What is known of the parameters that the file's calls do not tell the rank of."""
        known: FromCallers = {}
        for site in find_sites(file.class_attributes):
            function = file.names.function(site.node)
            if not isinstance(function, FunctionNode) or site.conflict:
                continue
            wanted = set(_parameters_in(file.names, function, _asked_of(site)))
            with contextlib.suppress(Unknowable, RecursionError):
                known |= self.of_function(file, function, wanted, 0)
        return known

    def of_function(self, file: Parsed, function: FunctionNode, wanted: set[str], depth: int) -> FromCallers:
        """What every call of a function passes for some parameters, those left out of which that is not known.

        Raises:
            Unknowable: the calls cannot all be found.
        """
        if not wanted or function.args.vararg or function.args.kwarg or depth > _DEEPEST:
            return {}
        if not self.callers.passes_what_it_shows(file, function):
            return {}
        values: dict[str, list[Value]] = {}
        for call in self.callers.calls_of(file, function):
            if self.callers.never_runs(call.file, call.node):
                continue
            given = self._given(file, call, function, wanted, depth)
            for name in wanted:
                values.setdefault(name, []).append(given.get(name, NUMBER))
        qualname = file.names.scopes[id(function)].qualname
        joined = {name: _joined(found, f"{qualname} for {name}") for name, found in values.items()}
        return {(qualname, name): value for name, value in joined.items() if value is not None}

    def _given(
        self, file: Parsed, call: Call, function: FunctionNode, wanted: set[str], depth: int
    ) -> dict[str, Value]:
        """What one call gives for some parameters of a function of a file."""
        arguments = {name: argument_of(call, function, name) for name in wanted}
        left_out = {n: NONE for n, a in arguments.items() if a is None and is_none(default_of(function, n))}
        asked = {name: argument for name, argument in arguments.items() if argument is not None}
        around = call.file.names.function(call.node)
        told: FromCallers = {}
        if isinstance(around, FunctionNode):
            deeper = set(_parameters_in(call.file.names, around, list(asked.values())))
            with contextlib.suppress(Unknowable):
                told = self.of_function(call.file, around, deeper, depth + 1)
        values = argument_values(call.file.class_attributes, around, call.node, asked, told)
        if call.file is not file:  # tests call with what they make, and no autocast is on there
            values = {name: _of_any_dtype(value) for name, value in values.items()}
        return left_out | values


def _asked_of(site: CallSite) -> list[ast.expr]:
    """The arguments of a call that its function does not tell the rank of."""
    names = [*(QKV if site.rank is None else ()), "attn_bias"]
    return [site.bound.arguments[name] for name in names if name in site.bound.arguments]


def _parameters_in(names: Names, function: FunctionNode, nodes: list[ast.expr]) -> Iterator[str]:
    """The parameters of a function that expressions in it are made of, by way of its variables too."""
    scope, parameters = names.scopes[id(function)], parameters_of(function)
    waiting, seen = list(nodes), set()
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name) and node.id not in seen and scope.owner(node.id) is scope:
                seen.add(node.id)
                if node.id in parameters and node.id not in ("self", "cls"):
                    yield node.id
                waiting += [b.value for b in scope.bindings[node.id] if b.value is not None]


def _joined(values: list[Value], place: str) -> Value | None:
    """What is passed where calls pass several values: tensors of one rank, or None; None if that is not so."""
    options = {option for value in values for option in (value.options if isinstance(value, OneOf) else (value,))}
    tensors = [option for option in options if isinstance(option, Tensor)]
    ranks = {tensor.rank.known for tensor in tensors}
    if not tensors or len(ranks) != 1 or None in ranks or options - set(tensors) - {NONE}:
        return None
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = dtype.join(tensor.dtype)
    given = frozenset().union(*(tensor.given for tensor in tensors))
    dtype = dtype if dtype in (DType.FLOAT32, DType.HALF) else DType.UNKNOWN  # that no autocast changes it is assumed
    told = Tensor(tensors[0].rank, dtype, given | {told_by_callers(place, ranks.pop() or 0)})
    return OneOf(frozenset({NONE, told})) if NONE in options else told


def _of_any_dtype(value: Value) -> Value:
    if isinstance(value, OneOf):
        return OneOf(frozenset(map(_of_any_dtype, value.options)))
    return replace(value, dtype=DType.UNKNOWN) if isinstance(value, Tensor) else value
