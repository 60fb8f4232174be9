"""Where mask objects must stay xformers' own after the rewrite, as a call of its operator stays and takes no others.

`block.py` makes masks, and `attention.py` keeps `memory_efficient_attention(q, k, v, attn_bias=bias)`: a comment asks
for it, or the run was not given that file. How a mask gets from file to file (by attributes, caches, functions of
others) is not followed: all masks of the project stay as long as one such call may be handed one.

A question for a mask's class, `isinstance(bias, BlockDiagonalMask)`, likewise needs the masks and the class to come
from one place.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from xf2sdpa.analysis.api import ATTENTION, ATTENTION_VARIANTS, api_name, is_mask_class, is_ours
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names, called_name
from xf2sdpa.analysis.parsed import all_nodes, parse_once
from xf2sdpa.analysis.sites import CallSite, find_sites
from xf2sdpa.analysis.values import Mask, NoneValue, OneOf, Tensor, Value
from xf2sdpa.project.files import Project
from xf2sdpa.project.handed_on import HandedOn

_OPERATORS = {ATTENTION, *ATTENTION_VARIANTS} - {"merge_attentions"}
_NEEDLE = re.compile(r"\bmemory_efficient_attention|\b\w*(?:Mask|Bias)\b")
"""Whatever is looked for has one of these, unless other files hand it on: the operator, or a class of masks."""
_ASKING = ("isinstance", "issubclass")
_BIAS = 3
"""The position of `attn_bias`."""
_LONGEST = 80
"""Of the code that a reason quotes."""


@dataclass(frozen=True)
class _Stays:
    """What one file, as it is now, has of xformers.

    Attributes:
        handed: a use of the operator that may be handed a mask object from anywhere; empty for none.
        local: a call that is handed a mask object which its own function has made before; empty for none.
        masks: whether it names mask classes of xformers, but for objects that only its own calls of the operator get.
        asking: a question for the class of a mask, whosever; empty for none.
    """

    handed: str = ""
    local: str = ""
    masks: bool = False
    asking: str = ""


def why_masks_stay(project: Project, files: Collection[str], moved: Collection[str]) -> dict[str, str]:
    """The files whose mask objects must be xformers' after all, each with the reason.

    Args:
        project: the files with their new texts.
        files: all that may have to do with xformers, rewritten or not.
        moved: those that take mask classes from the helper module.
    """
    handing = HandedOn(project.graph, project.texts)
    found = {file: _look_at(project.text(file), frozenset(handing.meanings_for(file).items())) for file in files}
    shown = {file: project.shown(file) for file in found}
    for file, stays in found.items():
        if stays.handed:
            why = f"`{stays.handed}` in {shown[file]} stays, and may be handed a mask object"
            return dict.fromkeys(moved, why)
    asking = next((file for file, stays in found.items() if stays.asking), None)
    making = next((file for file, stays in found.items() if stays.masks), None)
    if asking is not None and making is not None:
        why = (
            f"{shown[making]} keeps xformers' masks, and `{found[asking].asking}` in {shown[asking]} asks for the class"
        )
        return dict.fromkeys(moved, why)
    local = {file: stays.local for file, stays in found.items() if file in moved and stays.local}
    return {file: f"`{call}` stays, and is handed a mask object" for file, call in local.items()}


@functools.lru_cache(maxsize=4096)  # a run looks twice, and most files are the same then
def _look_at(text: str, meanings: frozenset[tuple[str, str]]) -> _Stays:
    if not (meanings or _NEEDLE.search(text)):
        return _Stays()
    try:
        return _seen_in(Names(parse_once(text).tree, dict(meanings)))
    except (SyntaxError, ValueError, RecursionError):
        return _Stays()


def _seen_in(names: Names) -> _Stays:
    handed = local = ""
    ours = list(_of_ours(names))
    sites = {id(site.node): site for site in find_sites(ClassAttributes(names))}
    direct: set[int] = set()
    for call, argument in _calls(names):
        site = sites.get(id(call))
        direct |= {id(part) for part in all_nodes(call)}
        if argument is None and site is not None and not site.bound.problem:
            continue
        kinds = _kinds(site)
        if kinds is None:
            handed = handed or _quoted(call)
        elif any(isinstance(kind, Mask) for kind in kinds) and not isinstance(argument, ast.Call):
            local = local or _quoted(call)
    handed = handed or next(map(_quoted, _handed_on(names, ours)), "")
    masks = (node for node in ours if is_mask_class(api_name(names.resolve(node))))
    made = any(id(node) not in direct and not _is_kept_here(names, node) for node in masks)
    return _Stays(handed, local, made, next(map(_quoted, _questions(names)), ""))


def _calls(names: Names) -> Iterator[tuple[ast.Call, ast.expr | None]]:
    """The calls of xformers' operator, each with what it is given as its mask, as far as that can be told."""
    for call in names.calls:
        if api_name(names.resolve(call.func, names.scope_at[id(call)])) in _OPERATORS:
            given = {k.arg: k.value for k in call.keywords}
            yield call, given.get("attn_bias", next(iter(call.args[_BIAS : _BIAS + 1]), None))


def _kinds(site: CallSite | None) -> Collection[Value] | None:
    """What a call's mask may be; None if it may be anything."""
    if site is None or site.bound.problem or site.bias is None:
        return None
    kinds = site.bias.options if isinstance(site.bias, OneOf) else {site.bias}
    return kinds if all(isinstance(kind, NoneValue | Tensor | Mask) for kind in kinds) else None


def _handed_on(names: Names, ours: Iterable[ast.Name | ast.Attribute]) -> Iterator[ast.expr]:
    """Where the operator is read to be called elsewhere, or looked up by its name."""
    for node in ours:
        parent = names.parents[id(node)]
        called = isinstance(parent, ast.Call) and parent.func is node
        if api_name(names.resolve(node)) in _OPERATORS and not called and not isinstance(parent, ast.Compare):
            yield parent if isinstance(parent, ast.Call) else node
    for call in names.calls:
        given = [argument.value for argument in call.args[1:2] if isinstance(argument, ast.Constant)]
        if called_name(call.func) == "getattr" and given and given[0] in _OPERATORS:
            yield call


def _of_ours(names: Names) -> Iterator[ast.Name | ast.Attribute]:
    """The expressions that may lead to something of xformers, each dotted one from its first name on."""
    for load in (load for loads in names.loads.values() for load in loads) if names.may_mean_ours else ():
        node: ast.AST = load
        if not is_ours(names.resolve(load)):
            continue
        while isinstance(node, ast.Name | ast.Attribute):
            yield node
            node = names.parents[id(node)]


def _is_kept_here(names: Names, node: ast.expr) -> bool:
    """Whether a class makes an object for a variable of a function that hands it to the operator, or reads of it."""
    made: ast.AST = node
    while isinstance(parent := names.parents[id(made)], ast.Attribute) or (
        isinstance(parent, ast.Call) and parent.func is made
    ):
        made = parent
    target = parent.targets[0] if isinstance(parent, ast.Assign) and len(parent.targets) == 1 else None
    if not isinstance(target, ast.Name):
        return False
    home = names.scope_at[id(target)]
    if not isinstance(home.node, ast.FunctionDef | ast.AsyncFunctionDef) or home.elsewhere:
        return False
    loads = names.loads.get(target.id, ())
    return all(_keeps(names, load) for load in loads if names.scope_at[id(load)].owner(load.id) is home)


def _keeps(names: Names, load: ast.Name) -> bool:
    """Whether a reading of a mask lets nobody have it but xformers' operator."""
    parent = names.parents[id(load)]
    if isinstance(parent, ast.Attribute):
        return not parent.attr.startswith(("make_", "to"))
    call = names.parents[id(parent)] if isinstance(parent, ast.keyword) else parent
    return isinstance(call, ast.Call) and api_name(names.resolve(call.func)) in _OPERATORS


def _questions(names: Names) -> Iterator[ast.expr]:
    """Where code asks for the class of a mask: `isinstance(bias, BlockDiagonalMask)`, `type(bias) is …`."""
    for node in names.parsed.of(ast.Call, ast.Compare):
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        else:
            asked = node.args[1:] if called_name(node.func) in _ASKING else []
        parts = [part for side in asked for part in ast.walk(side)]
        named = {getattr(part, "attr", getattr(part, "id", "")) for part in parts}
        if any(map(is_mask_class, named - {"AttentionMask"})):
            yield node


def _quoted(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
