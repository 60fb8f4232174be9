"""What of xformers.ops cannot be written inline comes from the helper module, under the same name.

Mask classes, annotations, `isinstance`, calls whose rank or mask only the run knows, SwiGLU, `index_select_cat`: the
helper (`_attention_compat.py`, torch only, made for the project) has them with the same signatures. `from xformers.ops
import X` becomes `from ._attention_compat import X`; `xops.X` becomes `X`. `unbind` is torch's. A name that the helper
does not have stays with xformers, and so does the import that brings it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from xf2sdpa.analysis.api import CAUSAL, api_name, is_ours
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import scope_of
from xf2sdpa.analysis.names import MODULES, called_name, first_name
from xf2sdpa.analysis.spans import span_of
from xf2sdpa.copyin import exported
from xf2sdpa.draft import FileDraft
from xf2sdpa.edits import ArgumentEdit, CallEdit, ReplaceExpression, ReplaceStatement
from xf2sdpa.emit import torch_function
from xf2sdpa.model import Finding
from xf2sdpa.rule import Example
from xf2sdpa.rules.comparison import bars_helper, is_off_limits

ORDER = 75
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
SWITCH = re.compile(r"enable_xformers_memory_efficient_attention\(|set_use_memory_efficient_attention_xformers\(")
_GENERIC = frozenset({"Optional", "Union"})
_WITH_TYPES = {"cast": slice(0, 1), "TypeVar": slice(1, None), "NewType": slice(1, 2), "ForwardRef": slice(0, 1)}
"""Functions that are given types, and which of their arguments are."""
_NEUTRAL = ("xformers.__version__", "xformers.version", "xformers.info", "xformers._has_cpp_library")


def finish(file: FileDraft) -> None:
    """Rename what the helper has, report what it has not."""
    if file.compat is None or is_off_limits(file):
        return
    barred = bars_helper(file)
    _drop_masks(file)
    quoted = [] if barred else list(_quoted(file))
    uses = list(_uses(file))
    helps = bool(quoted) or any(_is_known(file, dotted) for _, dotted in uses)
    helps |= any(_brings_help(file, statement) for statement in file.names.imports)
    file.migrated |= helps and not barred
    for constant, text in quoted if file.migrated else ():
        if text != constant.value:
            file.edits.append(ReplaceExpression(constant, _in_quotes(file, constant, text)))
            file.take_away(constant)
    reported: set[str] = set()
    for chain, dotted in uses:
        api = api_name(dotted)
        if api == "unbind":
            _rename(file, chain, torch_function(file, chain, "unbind"))
        elif _is_known(file, dotted) and not barred:
            _from_helper(file, chain, api or "")
        elif dotted not in reported and _is_a_thing(dotted) and not _is_known(file, dotted):
            reported.add(dotted)
            _report(file, chain, dotted)


def _drop_masks(file: FileDraft) -> None:
    """Drop `mask = LowerTriangularMask()` in a function when all calls that read it were written inline."""
    made = (call for call in file.names.calls if not call.args and not call.keywords and id(call) not in file.gone)
    for call in made:
        statement = file.names.parents[id(call)]
        if not isinstance(statement, ast.Assign) or api_name(file.names.resolve(call.func)) != CAUSAL:
            continue
        target, scope = statement.targets[0], scope_of(file.names, statement)
        plain = len(statement.targets) == 1 and isinstance(target, ast.Name) and target.id not in scope.elsewhere
        if not plain or not isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        loads = loads_of(file.names, target.id, scope)  # type: ignore[attr-defined]
        if loads and all(id(load) in file.gone for load in loads) and id(statement) not in file.gone:
            file.edits.append(ReplaceStatement(statement))
            file.take_away(statement)


def _quoted(file: FileDraft) -> Iterator[tuple[ast.Constant, str]]:
    """Annotations in quotes that name parts of the helper by a dotted name or a star, and how they read with it."""
    for constant in file.names.strings:
        tree = _expression_in(constant) if is_annotation(file, constant) else None
        if tree is None:
            continue
        renamer = _Renamer(file)
        text = ast.unparse(renamer.visit(tree))
        if renamer.found:
            file.compat_names.update(renamer.found)
            yield constant, text if renamer.renamed else str(constant.value)


def _in_quotes(file: FileDraft, constant: ast.Constant, text: str) -> str:
    """A string as a literal, in the quotes that the file has there unless it holds such quotes itself."""
    quote = file.lines[constant.lineno - 1].encode()[constant.col_offset :].decode()[0]
    free = [q for q in (quote, '"', "'") if q in "\"'" and q not in text]
    return f"{free[0]}{text}{free[0]}" if free else repr(text)


def _expression_in(constant: ast.Constant) -> ast.expr | None:
    """The expression that a quoted annotation holds, if it holds one."""
    try:
        return ast.parse(str(constant.value).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def quoted_names(file: FileDraft) -> set[str]:
    """Every name that some quoted annotation reads, as the file is left."""
    found: set[str] = set()
    quoted = {id(node): node for node in file.names.strings if is_annotation(file, node)}
    for node in quoted.values():
        found |= _names_in(node) if id(node) not in file.gone else set()
    for edit in file.edits:  # what was rewritten still reads the rest of its names
        if isinstance(edit, ReplaceExpression) and id(edit.node) in quoted:
            found |= _names_in(ast.Constant(ast.literal_eval(edit.text)))
    return found


def _names_in(quoted: ast.expr) -> set[str]:
    """Every name that a quoted annotation reads, in quotes within it as well; what `Literal[…]` holds is no name."""
    found: set[str] = set()
    nodes: list[ast.AST] = [quoted]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            nodes.extend(filter(None, [_expression_in(node)]))
        elif isinstance(node, ast.Subscript) and called_name(node.value) == "Literal":
            nodes.append(node.value)
        else:
            nodes.extend(ast.iter_child_nodes(node))
    return found


def is_annotation(file: FileDraft, node: ast.expr) -> bool:
    """Whether an expression is (part of) an annotation, or of a type that stands elsewhere."""
    child: ast.AST = node
    for parent in file.names.ancestors(node):
        if _is_type(file, parent, child):
            return True
        if isinstance(parent, ast.arg | ast.AnnAssign):
            return parent.annotation is child
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return parent.returns is child
        if isinstance(parent, ast.stmt | ast.Call):
            return False
        child = parent
    return False


def _is_type(file: FileDraft, parent: ast.AST, part: ast.AST) -> bool:
    """Whether a part of an expression is a type: `Union["A", "B"]`, `cast("A", x)`, `A: TypeAlias = "B"`."""
    if isinstance(parent, ast.Subscript):
        dotted = file.names.resolve(parent.value) or ""
        typing = dotted.startswith(("typing.", "typing_extensions.")) or called_name(parent.value) in _GENERIC
        return part is parent.slice and typing and called_name(parent.value) != "Literal"
    if isinstance(parent, ast.AnnAssign):
        return part is parent.value and called_name(parent.annotation) == "TypeAlias"
    if isinstance(parent, ast.keyword):
        return parent.arg == "bound"
    if isinstance(parent, ast.Call) and called_name(parent.func) in _WITH_TYPES:
        return any(part is argument for argument in parent.args[_WITH_TYPES[called_name(parent.func)]])
    return False


class _Renamer(ast.NodeTransformer):
    """Puts the helper's names in the place of dotted ones, in an expression that is no part of the file's tree."""

    def __init__(self, file: FileDraft) -> None:
        self.file = file
        self.found: dict[str, str] = {}
        self.renamed = False

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        api = api_name(self.file.names.resolve(node, self.file.names.module))
        if not has_helper(self.file, api) or api is None:
            return node
        self.found[api] = api
        self.renamed = True
        return ast.Name(api, ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.expr:
        module = self.file.names.module
        dotted = self.file.names.resolve(node, module)
        api = api_name(dotted)
        if module.owner(node.id) is None and is_ours(dotted) and has_helper(self.file, api) and api is not None:
            self.found[node.id] = api  # brought by a star, which goes
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        tree = _expression_in(node) if isinstance(node.value, str) else None
        if tree is None:
            return node
        inner = _Renamer(self.file)
        text = ast.unparse(inner.visit(tree))
        self.found.update(inner.found)
        self.renamed |= inner.renamed
        return ast.Constant(text) if inner.renamed else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """What stands in `Literal[…]` is no name."""
        if called_name(node.value) != "Literal":
            self.generic_visit(node)
        return node


def _brings_help(file: FileDraft, statement: ast.Import | ast.ImportFrom) -> bool:
    """Whether an import takes a name that the helper has, whatever else the name may be bound to."""
    if isinstance(statement, ast.Import) or not is_ours(statement.module):
        return False
    return any(has_helper(file, api_name(f"{statement.module}.{alias.name}")) for alias in statement.names)


def _uses(file: FileDraft) -> Iterator[tuple[ast.expr, str]]:
    """Every use of a name of ours that stays: the longest known dotted expression, and its path."""
    ours = {
        n
        for s in file.names.scopes.values()
        for n, found in s.bindings.items()
        if any(is_ours(b.dotted) for b in found)
    }
    ours |= {load.id for load, dotted in file.names.from_stars() if is_ours(dotted)}
    for load in (load for name in sorted(ours) for load in file.names.loads.get(name, ())):
        if id(load) in file.gone or id(load) in file.untouched:
            continue
        scope = file.names.scope_at[id(load)]
        node: ast.expr = load
        dotted = file.names.resolve(load, scope)
        while is_ours(dotted) and not _is_known(file, dotted):
            parent = file.names.parents[id(node)]
            if not isinstance(parent, ast.Attribute):
                break
            node, dotted = parent, f"{dotted}.{parent.attr}"
        if dotted is not None and is_ours(dotted) and not _is_asked_for(file, load):
            yield node, dotted


def _is_asked_for(file: FileDraft, load: ast.Name) -> bool:
    """`xops is not None`: answered, since what it stands for is there."""
    parent = file.names.parents[id(load)]
    if not isinstance(parent, ast.Compare) or len(parent.ops) != 1 or not isinstance(parent.ops[0], ast.Is | ast.IsNot):
        return False
    side = parent.comparators[0]
    if parent.left is not load or not (isinstance(side, ast.Constant) and side.value is None):
        return False
    if file.names.resolve(load) in MODULES | {"xformers"} and not is_switched(file, load):
        file.edits.append(ReplaceExpression(parent, str(isinstance(parent.ops[0], ast.IsNot))))
        file.take_away(parent)
        return True
    return False


def is_switched(file: FileDraft, load: ast.Name) -> bool:
    """Whether a switch may keep the import from being tried: then being None still means something."""
    owner = file.names.scope_at[id(load)].owner(load.id)
    nodes = [binding.node for binding in owner.bindings[load.id]] if owner else []
    guards = {id(p): p for node in nodes for p in file.names.ancestors(node) if isinstance(p, ast.Try)}
    return any(isinstance(part, ast.Raise) for guard in guards.values() for s in guard.body for part in ast.walk(s))


def _is_known(file: FileDraft, dotted: str | None) -> bool:
    api = api_name(dotted)
    return api == "unbind" or has_helper(file, api)


def has_helper(file: FileDraft, api: str | None) -> bool:
    """Whether the helper stands in for a name.

    A kernel's name does where it goes to `op=`; handed to another library's switch it must be xformers' own.
    """
    return file.compat is not None and api in exported() and not (is_kernel(api) and SWITCH.search(file.text))


def is_kernel(api: str | None) -> bool:
    """Whether a name is one of xformers' kernels, which only xformers (or a library's switch to it) can use."""
    return api is not None and re.fullmatch(r"(MemoryEfficientAttention|Triton)\w+Op", api) is not None


def _is_a_thing(dotted: str) -> bool:
    """Not just a module on the way, nor something to read about the package."""
    on_the_way = dotted in ("xformers.ops", "xformers.ops.fmha") or "." not in dotted
    return not on_the_way and not dotted.startswith(_NEUTRAL)


def _from_helper(file: FileDraft, chain: ast.expr, api: str) -> None:
    """Use the helper's name in the place of a dotted one."""
    name = helper_name(file, chain, api)
    if not isinstance(chain, ast.Name):
        _rename(file, chain, name)
    elif file.names.scope_at[id(chain)].owner(name) is None:  # brought by a star, which goes
        file.compat_names[name] = api


def helper_name(file: FileDraft, chain: ast.expr, api: str) -> str:
    """What a name of the helper is called at a place, and note that it is needed."""
    if isinstance(chain, ast.Name):  # the import that binds it says where it comes from
        return chain.id
    local = api
    scope = file.names.scope_at.get(id(first_name(chain)), file.names.module)
    taken = scope.owner(local)
    if taken is not None:
        ours = all(is_ours(binding.dotted) or binding.is_fallback for binding in taken.bindings[local])
        while not ours and scope.owner(local) is not None:
            local = f"compat_{local}"
    file.compat_names[local] = api
    return local


def _rename(file: FileDraft, chain: ast.expr, text: str) -> None:
    """Write another name in the place of a dotted one (or of a bare one that is called)."""
    parent = file.names.parents[id(chain)]
    if isinstance(chain, ast.Attribute):
        file.edits.append(ReplaceExpression(chain, text))
        file.take_away(chain)
    elif isinstance(parent, ast.Call) and parent.func is chain:
        file.edits.append(renamed_call(parent, text))
        file.take_away(chain)


def renamed_call(call: ast.Call, function: str, without: ast.expr | None = None) -> CallEdit:
    """The same call of another function, perhaps without one argument."""
    given = {id(a): ArgumentEdit(None) for a in call.args}
    given |= {id(k.value): ArgumentEdit(k.arg) for k in call.keywords}
    given.pop(id(without), None)
    return CallEdit(call, function, given)


def _report(file: FileDraft, chain: ast.expr, dotted: str) -> None:
    part = "Op" if is_kernel(api_name(dotted)) else next((part for part in dotted.split(".") if part in _ADVICE), "")
    advice = _ADVICE.get(part, "Keep xformers (or mslk) for this, or rewrite it by hand.")
    file.findings.append(
        Finding(file.path, span_of(chain, file.lines), "XF402", f"{dotted} stays: torch has no equivalent", advice)
    )
