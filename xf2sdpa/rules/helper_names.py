"""What of xformers.ops cannot be written inline comes from the helper module, under the same name.

Mask classes, annotations, `isinstance`, calls whose rank or mask only the run knows, SwiGLU, `index_select_cat`: the
helper (`_attention_compat.py`, torch only, made for the project) has them with the same signatures. `from xformers.ops
import X` becomes `from ._attention_compat import X`; `xops.X` becomes `X`. `unbind` is torch's. A name that the helper
does not have stays with xformers, and so does the import that brings it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from xf2sdpa.analysis.api import NEVER_RELEASED, api_name, is_mask_class, is_ours
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import scope_of
from xf2sdpa.analysis.masks import makes_causal
from xf2sdpa.analysis.names import MODULES, first_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.codes import MASKS_STAY
from xf2sdpa.edits.kinds import ArgumentEdit
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.answers import answer
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import has_helper, helper_name, is_kernel, is_switched, renamed_call
from xf2sdpa.rulekit.off_limits import bars_helper, is_off_limits
from xf2sdpa.rulekit.quoted import in_quotes, quoted_parts
from xf2sdpa.rulekit.readers import is_reexported
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.spelling import is_torch_here, torch_function
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.NAMES
AFTER = ("never_released",)
CODES = {
    "XF160": "a name of xformers.ops comes from the helper module",
    "XF402": "a part of xformers that torch has no equivalent for",
}
EXAMPLES = (
    Example(
        before="""\
import torch
from xformers.ops import fmha, unbind


def pack(x, lengths):
    first, second = unbind(x, 1)
    return first, second, fmha.BlockDiagonalMask.from_seqlens(lengths)
""",
        after="""\
import torch
from _attention_compat import BlockDiagonalMask


def pack(x, lengths):
    first, second = torch.unbind(x, 1)
    return first, second, BlockDiagonalMask.from_seqlens(lengths)
""",
        helper=True,
    ),
)
_ADVICE = {
    "components": "xformers.components is not maintained any more; torch.nn has its parts.",
    "sparse": "torch.sparse and torch.nn.attention.flex_attention cover most of it.",
    "profiler": "torch.profiler does the same.",
    "checkpoint": "torch.utils.checkpoint does the same.",
    "rope_padded": "Apply the rotary embedding before the cache is written.",
    "Op": "If it goes to diffusers' enable_xformers_memory_efficient_attention: delete that call, SDPA is the default.",
    "triton": "torch.compile writes such kernels by itself.",
}
_NEUTRAL = ("xformers.__version__", "xformers.version", "xformers.info", "xformers._has_cpp_library")


def finish(file: FileDraft) -> None:
    """Rename what the helper has, report what it has not."""
    if file.compat is None or is_off_limits(file):
        return
    barred = bars_helper(file)
    _drop_masks(file)
    quoted = [] if barred else list(quoted_parts(file))
    uses = list(_uses(file))
    helps = bool(quoted) or any(_is_known(file, dotted) for _, dotted in uses)
    helps |= any(_brings_help(file, statement) for statement in file.names.imports)
    file.migrated |= helps and not barred
    for constant, text, names in quoted:
        if text == constant.value or file.replace(constant, in_quotes(file, constant, text), "XF160"):
            file.compat_names.update(names)
    reported: set[str] = set()
    _report_masks(file, uses)
    for chain, dotted in uses:
        api = api_name(dotted)
        if api == "unbind":
            if not (isinstance(chain, ast.Name) and _is_asked_for(file, chain)):
                _unbind(file, chain)
        elif _is_known(file, dotted) and not barred:
            _from_helper(file, chain, api or "")
        elif file.masks_stay and _is_mask(dotted):
            continue
        elif dotted not in reported and _is_a_thing(dotted) and not _is_known(file, dotted):
            reported.add(dotted)
            _report(file, chain, dotted)


def _unbind(file: FileDraft, chain: ast.Name | ast.Attribute) -> None:
    """Write torch's for xformers' `unbind`, called or handed on; `x.unbind(2)` where torch's would need an import."""
    parent = file.names.parents[id(chain)]
    call = parent if isinstance(parent, ast.Call) and parent.func is chain else None
    by_name = {id(k.value): ArgumentEdit("input") for k in call.keywords if k.arg == "x"} if call else {}
    here = is_torch_here(file, chain)
    if call and not here and _unbind_of_a_name(file, call):
        return
    if not here and file.names.scope_at[id(first_name(chain))].owner("torch") is not None:
        return  # torch is something else here: xformers' stays
    if not call or (isinstance(chain, ast.Attribute) and not by_name):
        written = file.replace(chain, "torch.unbind", "XF160")
    else:
        edit = renamed_call(call, "torch.unbind")
        written = file.ask(replace(edit, arguments=edit.arguments | by_name), "XF160")
        if written:
            file.take_away(chain)
    if written:
        torch_function(file, chain, "unbind")


def _unbind_of_a_name(file: FileDraft, call: ast.Call) -> bool:
    """Write `x.unbind(2)` for `unbind(x, 2)`; whether it will be."""
    tensor, *rest = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "dim")]
    count = len(call.args) + len(call.keywords)
    if not isinstance(tensor, ast.Name) or len(rest) != count - 1 or not all(isinstance(n, ast.Constant) for n in rest):
        return False
    given = ", ".join(source_of(node, file.lines) for node in rest)
    return file.replace(call, f"{tensor.id}.unbind({given})", "XF160", keeping=[tensor])


def _drop_masks(file: FileDraft) -> None:
    """Drop `mask = LowerTriangularMask()` in a function when all calls that read it were written inline."""
    for call in file.names.calls:
        statement = file.names.parents[id(call)]
        if not isinstance(statement, ast.Assign) or not makes_causal(call, file.names):
            continue
        target, scope = statement.targets[0], scope_of(file.names, statement)
        plain = len(statement.targets) == 1 and isinstance(target, ast.Name) and target.id not in scope.elsewhere
        if not plain or not isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        loads = loads_of(file.names, target.id, scope)  # type: ignore[attr-defined]
        if loads and all(file.is_gone(load) for load in loads) and not file.is_gone(statement):
            file.drop(statement, "XF160")


def _brings_help(file: FileDraft, statement: ast.Import | ast.ImportFrom) -> bool:
    """Whether an import takes a name that the helper has, whatever else the name may be bound to.

    One that nothing reads brings nothing: it is there for its flag, and what asks for that asks for something else.
    """
    if isinstance(statement, ast.Import) or not is_ours(statement.module):
        return False
    return any(
        has_helper(file, api_name(f"{statement.module}.{alias.name}")) and _is_wanted(file, alias.asname or alias.name)
        for alias in statement.names
    )


def _is_wanted(file: FileDraft, name: str) -> bool:
    return bool(file.names.loads.get(name)) or name in file.handed_on or is_reexported(file, name)


def _uses(file: FileDraft) -> Iterator[tuple[ast.Name | ast.Attribute, str]]:
    """Every use of a name of ours that stays: the longest known dotted expression, and its path."""
    ours = file.names.ours | {load.id for load, dotted in file.names.from_stars() if is_ours(dotted)}
    for load in (load for name in sorted(ours) for load in file.names.loads.get(name, ())):
        if file.is_gone(load) or file.is_left(load):
            continue
        node: ast.Name | ast.Attribute = load
        dotted = file.names.resolve(load)
        while is_ours(dotted) and not _is_known(file, dotted):
            parent = file.names.parents[id(node)]
            if not isinstance(parent, ast.Attribute):
                break
            node, dotted = parent, f"{dotted}.{parent.attr}"
        if dotted is not None and is_ours(dotted) and not _is_asked_for(file, load):
            yield node, dotted


def _is_asked_for(file: FileDraft, load: ast.Name) -> bool:
    """`xops is not None`: answered, since what it stands for is there; not in a project that never calls it."""
    if not (file.migrated or file.migrating):
        return False
    parent = file.names.parents[id(load)]
    if not isinstance(parent, ast.Compare) or len(parent.ops) != 1 or not isinstance(parent.ops[0], ast.Is | ast.IsNot):
        return False
    side = parent.comparators[0]
    if parent.left is not load or not (isinstance(side, ast.Constant) and side.value is None):
        return False
    dotted = file.names.resolve(load)
    if (dotted in MODULES | {"xformers"} or api_name(dotted) == "unbind") and not is_switched(file, load):
        return answer(file, parent, isinstance(parent.ops[0], ast.IsNot), "XF160")
    return False


def _is_known(file: FileDraft, dotted: str | None) -> bool:
    api = api_name(dotted)
    return api == "unbind" or has_helper(file, api)


def _is_a_thing(dotted: str) -> bool:
    """Not just a module on the way, nor something to read about the package."""
    on_the_way = dotted in ("xformers.ops", "xformers.ops.fmha") or "." not in dotted
    return not on_the_way and not dotted.startswith(_NEUTRAL)


def _from_helper(file: FileDraft, chain: ast.Name | ast.Attribute, api: str) -> None:
    """Use the helper's name in the place of a dotted one."""
    needed = dict(file.compat_names)
    name = helper_name(file, chain, api)
    if isinstance(chain, ast.Attribute):
        if not file.replace(chain, name, "XF160"):  # a comment asks to leave it
            file.compat_names = needed
    elif file.names.scope_at[id(chain)].owner(name) is None:  # brought by a star, which goes
        file.compat_names[name] = api


def _report_masks(file: FileDraft, uses: Sequence[tuple[ast.Name | ast.Attribute, str]]) -> None:
    """Report the first mask class that stays as the project's masks must, or else an import that hands one on."""
    if not file.masks_stay:
        return
    places: list[tuple[ast.expr | ast.stmt, str]] = [(chain, dotted) for chain, dotted in uses if _is_mask(dotted)]
    for statement in (s for s in file.names.imports if isinstance(s, ast.ImportFrom)):
        taken = (a for a in statement.names if _is_wanted(file, a.asname or a.name))
        places += [(statement, dotted) for a in taken if _is_mask(dotted := f"{statement.module}.{a.name}")]
    for node, dotted in places[:1]:
        message = f"{dotted} stays with xformers: {file.masks_stay}"
        advice = (
            "Let the rewrite have that call, or pass it None or a tensor; or rewrite all files of the project at once."
        )
        file.report(node, MASKS_STAY, message, advice, FindingKind.KEEPS)


def _is_mask(dotted: str) -> bool:
    """Whether a path leads to a mask class of ours, or to something of it."""
    return is_mask_class((api_name(dotted) or "").partition(".")[0])


def _report(file: FileDraft, chain: ast.expr, dotted: str) -> None:
    part = "Op" if is_kernel(api_name(dotted)) else next((part for part in dotted.split(".") if part in _ADVICE), "")
    advice = _ADVICE.get(part, "Keep xformers (or mslk) for this, or rewrite it by hand.")
    if dotted in NEVER_RELEASED:
        advice = "No release of xformers has it, so that this import always fails: torch has F.cross_entropy."
    file.report(chain, "XF402", f"{dotted} stays: torch has no equivalent", advice, FindingKind.KEEPS)
