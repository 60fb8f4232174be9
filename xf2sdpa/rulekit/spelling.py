"""The spelling of what is emitted: how this file says scaled_dot_product_attention, and the smallest transposes."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from weakref import WeakKeyDictionary

from xf2sdpa.analysis.api import ROOTS
from xf2sdpa.analysis.flow import end, in_two_arms, loads_of, start
from xf2sdpa.analysis.names import Names, first_name
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.edits.kinds import CstPath
from xf2sdpa.rulekit.draft import FileDraft

SDPA = "scaled_dot_product_attention"
_HOME = f"torch.nn.functional.{SDPA}"
_TORCH = frozenset({"torch", "nn"})
_UNMISTAKABLE = frozenset(
    {"softmax", "log_softmax", "linear", "relu", "gelu", "silu", "elu", "interpolate", "layer_norm", "group_norm",
     "cross_entropy", "mse_loss", "l1_loss", "smooth_l1_loss", "conv1d", "conv2d", "conv3d", "grid_sample", "embedding",
     "multi_head_attention_forward", "avg_pool2d", "max_pool2d", "one_hot", "unfold", "binary_cross_entropy", SDPA,
     "binary_cross_entropy_with_logits", "leaky_relu", "cosine_similarity", "logsigmoid", "kl_div", "softplus"}
)  # fmt: skip
"""Functions that no other module which is called F has."""
_HOMES: WeakKeyDictionary[Scope, list[tuple[str, str]]] = WeakKeyDictionary()
"""What `_homes` found: a module may bind thousands of names, and hold as many calls."""


def function_name(file: FileDraft, node: ast.Call) -> str:
    """How to call SDPA at a place: the file's own `F`, `torch.nn.functional.…` or bare name; else a new import."""
    scope = file.names.scope_at[id(node)]
    candidates = list(_spellings(file, scope, node))
    if not candidates:
        return _import_functional(file, scope)
    return min(candidates, key=lambda spelling: (_length_rank(spelling, file), len(spelling)))


def _length_rank(spelling: str, file: FileDraft) -> int:
    """A bare name or `F.` first; else the way in which the file itself reaches into torch.nn.functional."""
    module = spelling.removesuffix(SDPA)
    if module.count(".") <= 1:
        return 0
    return 1 if _is_used(module, file.text) else (2 if module.startswith("torch.") else 3)


@functools.lru_cache(maxsize=8)
def _is_used(module: str, text: str) -> bool:
    """Whether a text reaches into a module; asked for each call of a file, so that the answer is kept."""
    return re.search(rf"(?<![\w.]){re.escape(module)}", text) is not None


def _spellings(file: FileDraft, scope: Scope, node: ast.Call) -> Iterator[str]:
    """Every way in which a name bound here or further out leads to SDPA, where a call is made."""
    current: Scope | None = scope
    while current is not None:
        for name, dotted in _homes(file.names, current):
            if current is file.names.module and _may_be_starred(file.names, name):
                continue
            if scope.owner(name) is current and _is_bound_by(file.names, name, scope, node):
                yield name + _HOME[len(dotted) :]
        current = current.parent


def _may_be_starred(names: Names, name: str) -> bool:
    """Whether a library's star import may bring something else in the place of a name that the file has bound before.

    Not where the file reads of it what only `torch.nn.functional` has.
    """
    unknown = [star for star in names.module.stars if star not in names.starred]
    if not unknown or name in _TORCH:
        return False
    lines = [getattr(binding.node, "lineno", 0) for binding in names.module.bindings.get(name, ())]
    stars = (s for s in names.imports if isinstance(s, ast.ImportFrom) and s.names[0].name == "*")
    behind = any(s.lineno > min(lines, default=0) for s in stars if "." * s.level + (s.module or "") in unknown)
    read = (names.parents[id(load)] for load in names.loads.get(name, ()))
    return behind and not any(isinstance(node, ast.Attribute) and node.attr in _UNMISTAKABLE for node in read)


def _may_bring(names: Names, star: str, name: str) -> bool:
    """Whether a star import may bring another thing of a name than torch.nn.functional."""
    return star not in names.starred or names.starred[star].get(name, "torch.nn.functional") != "torch.nn.functional"


def _homes(names: Names, scope: Scope) -> list[tuple[str, str]]:
    """The names bound in a scope that lead to SDPA, and what each stands for."""
    if scope not in _HOMES:
        found = ((name, names.resolve(ast.Name(name, ast.Load()), scope)) for name in scope.bindings)
        _HOMES[scope] = [(name, dotted) for name, dotted in found if dotted and _is_home(dotted)]
    return _HOMES[scope]


def _is_home(dotted: str) -> bool:
    return dotted == _HOME or _HOME.startswith(f"{dotted}.")


def _is_bound_by(names: Names, name: str, scope: Scope, node: ast.Call) -> bool:
    """Whether a name is bound when a call is made: nothing stands in for it, and some import of it came by before.

    An import under an `if` counts where the file itself relies on it elsewhere; never one for type checkers.
    """
    owner = scope.owner(name)
    bindings = owner.bindings[name] if owner else []
    if owner is None or any(binding.is_fallback for binding in bindings):
        return False
    return any(isinstance(b.node, ast.stmt) and _comes_before(names, name, b.node, node, owner) for b in bindings)


def _comes_before(names: Names, name: str, binding: ast.stmt, node: ast.Call, owner: Scope) -> bool:
    around = {id(parent) for parent in names.ancestors(node)}
    for parent in itertools.takewhile(lambda parent: parent is not owner.node, names.ancestors(binding)):
        if isinstance(parent, ast.If) and "TYPE_CHECKING" in ast.dump(parent.test):
            return False
        chosen = isinstance(parent, ast.If | ast.For | ast.While | ast.ExceptHandler) and id(parent) not in around
        if chosen and not (owner is names.module and loads_of(names, name, owner)):
            return False
    later = names.function(node) is owner.node and start(node) < end(binding)
    return not later and not in_two_arms(names, binding, node)


_ALIASES = ("F", "functional", "torch_functional", "_functional")
"""Names of `torch.nn.functional`, of which the first that is free is taken."""


def _import_functional(file: FileDraft, scope: Scope) -> str:
    """Ask for `import torch.nn.functional as F`; where F or torch means something else, for a name that does not."""
    names = file.names
    brought = {name for name in _ALIASES if any(_may_bring(names, star, name) for star in names.module.stars)}
    free = [name for name in _ALIASES if scope.owner(name) is None and name not in brought]
    name = next(iter(free), _ALIASES[-1])
    if name != "F" and scope.owner("torch") in (None, names.module):
        file.add_import("import torch.nn.functional", last_import(file))
        return _HOME
    file.add_import(f"import torch.nn.functional as {name}", last_import(file))
    return f"{name}.{SDPA}"


def last_import(file: FileDraft) -> ast.stmt | None:
    """The top-level import after which a torch import belongs: the last of torch, else xformers', else the last."""
    imports = []
    for statement in file.tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports.append(statement)
        elif imports and not isinstance(statement, ast.Try | ast.If | ast.Expr):
            break
    torch = [node for node in imports if _root(node) == "torch"]
    found = torch or [node for node in imports if _root(node) in ROOTS] or imports
    return found[-1] if found else None


def is_torch_here(file: FileDraft, node: ast.expr) -> bool:
    """Whether `torch` means torch at a place."""
    scope = file.names.scope_at.get(id(first_name(node)), file.names.module)
    return file.names.resolve(ast.Name("torch", ast.Load()), scope) == "torch"


def torch_function(file: FileDraft, node: ast.expr, name: str) -> str:
    """How to call a function of torch at a place, with `import torch` added if the file has none."""
    if not is_torch_here(file, node):
        file.add_import("import torch", last_import(file))
    return f"torch.{name}"


def import_line(module: str, names: Mapping[str, str]) -> str:
    """`from module import …` for names by what they are called here; over several lines if one is not enough."""
    listed = sorted(api if name == api else f"{api} as {name}" for name, api in names.items())
    line = f"from {module} import {', '.join(listed)}"
    if len(line) <= 88:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in listed), ")"])


def _root(node: ast.Import | ast.ImportFrom) -> str:
    dotted = node.names[0].name if isinstance(node, ast.Import) else (node.module or "")
    return dotted.partition(".")[0]


def heads_swap(node: ast.expr, names: Names) -> tuple[ast.expr, CstPath] | None:
    """The tensor inside an expression that only swaps dimensions 1 and 2 of four, and the way to it.

    `x.transpose(1, 2)`, `x.permute(0, 2, 1, 3)`, `torch.transpose(x, 1, 2)`, `rearrange(x, "b h n d -> b n h d")`;
    a `.contiguous()` behind it changes no value.
    """
    path: CstPath = ()
    while _is_method(node, "contiguous") and not node.args:  # type: ignore[attr-defined]
        node, path = node.func.value, (*path, "func", "value")  # type: ignore[attr-defined]
    if not isinstance(node, ast.Call) or node.keywords:
        return None
    numbers = [_integer(argument) for argument in node.args]
    if isinstance(node.func, ast.Attribute):
        swaps = numbers in ([1, 2], [2, 1], [-3, -2], [-2, -3]) and node.func.attr in (
            "transpose",
            "swapaxes",
            "swapdims",
        )
        permutes = numbers == [0, 2, 1, 3] and node.func.attr == "permute"
        if (swaps or permutes) and not (names.resolve(node.func) or "").startswith("torch."):
            return node.func.value, (*path, "func", "value")
    dotted = names.resolve(node.func) or ""
    if dotted == "torch.transpose" and numbers[1:] in ([1, 2], [2, 1]):
        return node.args[0], (*path, "args", 0, "value")
    if dotted == "einops.rearrange" and len(node.args) == 2 and _swaps_axes(node.args[1]):
        return node.args[0], (*path, "args", 0, "value")
    return None


def _is_method(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def _integer(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if isinstance(value, int) else None


def _swaps_axes(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return False
    left, _, right = (side.split() for side in node.value.partition("->"))
    plain = all(axis.isidentifier() for axis in left)
    return plain and len(left) == 4 and right == [left[0], left[2], left[1], left[3]]
