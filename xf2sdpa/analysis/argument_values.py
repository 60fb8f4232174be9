"""What the calls of a function pass for its parameters, as the functions that they stand in show it."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from xf2sdpa.analysis.calls import BoundCall
from xf2sdpa.analysis.environment import SiteFacts
from xf2sdpa.analysis.evidence import EvidenceBook
from xf2sdpa.analysis.functions import Told
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import FunctionNode
from xf2sdpa.analysis.shapes import Walk
from xf2sdpa.analysis.values import OneOf, Rank, Tensor, Unknown, Value

Arguments = Mapping[str, ast.expr]


class _WalkToCall(Walk):
    """The walk, with any calls in the place of the operator's; nothing is known of what they return."""

    def _site(self, site: BoundCall) -> Value:
        super()._site(site)
        return Unknown(self.token(id(site.node)))


def argument_values(
    attributes: ClassAttributes, around: FunctionNode | ast.Module, call: ast.Call, arguments: Arguments, told: Told
) -> dict[str, Value]:
    """The values of a call's arguments, by parameter; empty if the walk does not come by.

    Args:
        attributes: of the file that the call stands in.
        around: the function around it, or the module.
        call: the call.
        arguments: what it passes, by parameter.
        told: what is known of the parameters of the function around it.
    """
    walk = _WalkToCall(attributes, {id(call): BoundCall(call, "", dict(arguments))}, told=told)
    walk.walk_unit(around)
    facts = walk.facts.get(id(call))
    if facts is None:
        return {}
    return {name: _settled(value, id(call), facts, walk.book) for name, value in facts.arguments.items()}


def _settled(value: Value, call: int, facts: SiteFacts, book: EvidenceBook) -> Value:
    """A value with the evidence for its rank applied."""
    if isinstance(value, OneOf):
        return OneOf(frozenset(_settled(option, call, facts, book) for option in value.options))
    if isinstance(value, Unknown):
        value = Tensor(Rank(0, value.token), value.dtype)
    if not isinstance(value, Tensor):
        return value
    rank, given = book.at_site(value.rank, call, facts.path, facts.order)
    return Tensor(rank, value.dtype, value.given | given)
