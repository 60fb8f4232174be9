"""Where a file calls xformers' attention, and what the walk over those functions found out about the arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace

from xf2sdpa.analysis.api import ATTENTION, ATTENTION_VARIANTS, api_name
from xf2sdpa.analysis.calls import BoundCall, bind
from xf2sdpa.analysis.environment import SiteFacts
from xf2sdpa.analysis.evidence import EvidenceBook
from xf2sdpa.analysis.functions import Told
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import FunctionNode, Names
from xf2sdpa.analysis.shapes import Walk
from xf2sdpa.analysis.values import NONE, DType, OneOf, Tensor, Value, as_tensor
from xf2sdpa.model import Assumption, Way

QKV = ("query", "key", "value")


@dataclass(frozen=True)
class CallSite:
    """One call, where it stands, and what is known of its arguments.

    Attributes:
        qualname: the qualified name of the function around it.
        ordinal: its 0-based index among the calls of that function.
        rank: number of dimensions of query, key and value (xformers takes only equal ones), or None if not known.
        conflict: whether the evidence for the rank disagrees.
        given: the assumptions, beyond what the code shows, under which the rank is right.
        dtypes: where the dtypes of query, key and value come from.
        heads: which axis of query, key and value is named as that of the heads, where sizes show it.
        supposed: an argument, and its number of dimensions as code on another path states it, where nothing proves one.
        bias: what is known of `attn_bias`; None if it is not given or the walk did not reach the call.
    """

    bound: BoundCall
    qualname: str
    ordinal: int
    rank: int | None = None
    conflict: bool = False
    given: frozenset[str] = frozenset()
    dtypes: tuple[DType, ...] = ()
    heads: int | None = None
    supposed: tuple[str, int] | None = None
    bias: Value | None = None

    @property
    def node(self) -> ast.Call:
        """The call itself."""
        return self.bound.node


def find_sites(attributes: ClassAttributes, *, loaded_alone: bool = False, told: Told | None = None) -> list[CallSite]:
    """All call sites of a file, in the order of the source, with what is known of each.

    In a file that is loaded by itself (`loaded_alone`), a private method has no callers but those in the file. `told`
    is what the callers in other files pass.
    """
    names = attributes.names
    bound = {}
    for node in names.calls if names.may_mean_ours else ():
        api = api_name(names.resolve(node.func, names.scope_at[id(node)]))
        if api == ATTENTION or api in ATTENTION_VARIANTS:
            bound[id(node)] = bind(node, api)
    walk = Walk(attributes, bound, told=told)
    for unit in _units(names, (call.node for call in bound.values())):
        walk.walk_unit(unit)
    ordinals: dict[str, int] = {}
    found = []
    for call in sorted(bound.values(), key=lambda call: (call.node.lineno, call.node.col_offset)):
        qualname = _qualname(names, call.node)
        ordinal = ordinals.get(qualname, 0)
        ordinals[qualname] = ordinal + 1
        site = _with_facts(CallSite(call, qualname, ordinal), walk.facts.get(id(call.node)), walk.book)
        found.append(_as_called(attributes, site) if loaded_alone and site.rank is None and not site.conflict else site)
    return found


def _as_called(attributes: ClassAttributes, site: CallSite) -> CallSite:
    """A site in a private method, with what the calls of the method pass; unchanged if they do not agree on a rank."""
    names = attributes.names
    method = names.function(site.node)
    if not isinstance(method, ast.FunctionDef) or not method.name.startswith("_") or method.name.startswith("__"):
        return site
    callers = _callers(names, method)
    walk = Walk(attributes, {id(site.node): site.bound}, through=method)
    for caller in callers or ():
        walk.walk_unit(caller)
    facts = walk.facts.get(id(site.node))
    tensors = [as_tensor(facts.arguments.get(name, NONE)) for name in QKV] if facts is not None else []
    ranks = {tensor.rank.known if tensor is not None else None for tensor in tensors}
    if facts is None or len(ranks) != 1 or None in ranks:
        return site
    known = _with_facts(site, facts, walk.book)
    return replace(known, given=known.given | {Assumption(f"nothing but this file calls {method.name}", Way.CALLERS)})


def _callers(names: Names, method: ast.FunctionDef) -> list[FunctionNode] | None:
    """The methods of the same class that call a method on `self`; None if it is used in any other way."""
    owner, found = names.parents[id(method)], []
    uses = [n for n in names.nodes if isinstance(n, ast.Attribute) and n.attr == method.name]
    for use in uses:
        parent, around = names.parents[id(use)], names.function(use)
        by_self = isinstance(use.value, ast.Name) and use.value.id == "self"
        called = isinstance(parent, ast.Call) and parent.func is use
        if not (by_self and called) or isinstance(around, ast.Module) or names.parents[id(around)] is not owner:
            return None
        found.append(around)
    if not isinstance(owner, ast.ClassDef) or any(constant.value == method.name for constant in names.strings):
        return None
    return list({id(caller): caller for caller in found}.values())


def _units(names: Names, calls: Iterable[ast.Call]) -> list[FunctionNode | ast.Module | ast.ClassDef]:
    """The functions to walk: the outermost around each call within its class or module; else that body itself."""
    units: dict[int, FunctionNode | ast.Module | ast.ClassDef] = {}
    for call in calls:
        unit: FunctionNode | ast.Module | ast.ClassDef | None = None
        for parent in names.ancestors(call):  # pragma: no branch - the last is the module
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                unit = parent
            elif isinstance(parent, ast.ClassDef | ast.Module):
                unit = unit or parent
                break
        if unit is not None:  # pragma: no branch - for mypy
            units[id(unit)] = unit
    return list(units.values())


def _qualname(names: Names, node: ast.AST) -> str:
    scope = names.scope_at[id(node)]
    while scope.qualname.endswith("<comprehension>") and scope.parent is not None:
        scope = scope.parent
    return scope.qualname or "<module>"


def _with_facts(site: CallSite, facts: SiteFacts | None, book: EvidenceBook) -> CallSite:
    if facts is None:
        return site
    tensors = [tensor for name in QKV if (tensor := as_tensor(facts.arguments.get(name, NONE)))]
    known = [(tensor.rank, tensor.given) for tensor in tensors]
    if facts.result.token is not None:  # else it was copied from an argument
        known.append((facts.result, frozenset()))
    call = id(site.node)
    proofs = [(*book.at_site(rank, call, facts.path, facts.order), given) for rank, given in known]
    # xformers takes only equal ranks, so the argument that needs the fewest assumptions decides for all
    settled = sorted(
        ((rank.known, less | given) for rank, less, given in proofs if rank.known is not None), key=lambda x: len(x[1])
    )
    numbers = {number for number, _ in settled}
    given = settled[0][1] if settled else frozenset()
    heads = {tensor.heads for tensor in tensors} - {None}
    return replace(
        site,
        rank=settled[0][0] if len(numbers) == 1 else None,
        conflict=len(numbers) > 1 or (not numbers and any(book.conflicts(rank) for rank, _ in known)),
        given=given,
        dtypes=tuple(_shown_dtype(tensor, given) for tensor in tensors),
        heads=heads.pop() if len(heads) == 1 else None,
        supposed=_supposed(facts, book) if not numbers else None,
        bias=_settled_bias(facts, call, book),
    )


def _supposed(facts: SiteFacts, book: EvidenceBook) -> tuple[str, int] | None:
    """An argument that code on another path unpacks, and into how many sizes; None if the arguments disagree."""
    found = {}
    for name in QKV:
        tensor = as_tensor(facts.arguments.get(name, NONE))
        number = book.elsewhere(tensor.rank) if tensor is not None else None
        if number is not None:
            found[name] = number
    return next(iter(found.items())) if len(set(found.values())) == 1 else None


def _shown_dtype(tensor: Tensor, given: frozenset[str]) -> DType:
    """A dtype's origin; unknown if it needs assumptions that the rank does not, unless it is a visible upcast."""
    shown = tensor.given <= given or tensor.dtype is DType.FLOAT32
    return tensor.dtype if shown else DType.UNKNOWN


def _settled_bias(facts: SiteFacts, call: int, book: EvidenceBook) -> Value | None:
    """The value of `attn_bias`, with the evidence for its rank applied."""
    bias = facts.arguments.get("attn_bias")
    if isinstance(bias, OneOf):
        options = (_settled_option(option, facts, call, book) for option in bias.options)
        return OneOf(frozenset(options))
    return _settled_option(bias, facts, call, book) if bias is not None else None


def _settled_option(option: Value, facts: SiteFacts, call: int, book: EvidenceBook) -> Value:
    if isinstance(option, Tensor):
        rank, given = book.at_site(option.rank, call, facts.path, facts.order)
        return replace(option, rank=rank, given=option.given | given)
    return option
