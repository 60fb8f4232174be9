"""Which names the helper module stands in for, and how a file calls them."""

from __future__ import annotations

import ast
import itertools
import re

from xf2sdpa.analysis.api import is_mask_class, is_ours
from xf2sdpa.analysis.availability import depends_on_more
from xf2sdpa.analysis.names import first_name
from xf2sdpa.edits.kinds import ArgumentEdit, CallEdit
from xf2sdpa.helper.text import MODULE_NAME, PACKAGE_NAME, exported
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.replaced import is_replaced
from xf2sdpa.rulekit.spelling import SDPA
from xf2sdpa.rulekit.where_flags_come_from import may_be_chosen

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_GUARDED = (f"{MODULE_NAME}.{SDPA}", f"{PACKAGE_NAME}.{SDPA}")
SWITCH = re.compile(r"enable_xformers_memory_efficient_attention\(|set_use_memory_efficient_attention_xformers\(")


def is_switched(file: FileDraft, load: ast.Name) -> bool:
    """Whether a switch may keep the import from being tried, or somebody may take the name away.

    Then being None still means something.
    """
    scope = file.names.scope_at.get(id(load))  # none of a name that stands in a string
    if scope is not None and is_replaced(file, load):
        return True
    owner = (scope or file.names.module).owner(load.id)
    nodes = [binding.node for binding in owner.bindings[load.id] if is_ours(binding.dotted)] if owner else []
    around = [itertools.takewhile(lambda p: not isinstance(p, _SCOPES), file.names.ancestors(node)) for node in nodes]
    return any(depends_on_more(p, lambda test: None if may_be_chosen(file, test) else True) for p in around)


def has_helper(file: FileDraft, api: str | None) -> bool:
    """Whether the helper stands in for a name.

    A kernel's name does where it goes to `op=`; handed to another library's switch it must be xformers' own. A mask
    class does unless xformers' operator may be handed its objects.
    """
    if file.compat is None or api not in exported() or (file.masks_stay and is_mask_class(api)):
        return False
    return not (is_kernel(api) and SWITCH.search(file.text))


def is_kernel(api: str | None) -> bool:
    """Whether a name is one of xformers' kernels, which only xformers (or a library's switch to it) can use."""
    return api is not None and re.fullmatch(r"(MemoryEfficientAttention|Triton)\w+Op", api) is not None


def helper_name(file: FileDraft, chain: ast.expr, api: str) -> str:
    """The name by which a place reaches one of the helper's; notes that the file needs it."""
    if isinstance(chain, ast.Name):  # the import that binds it says where it comes from
        return chain.id
    local = api
    scope = file.names.scope_at.get(id(first_name(chain)), file.names.module)
    taken = scope.owner(local)
    if taken is None and _is_starred(file, local):
        local = f"compat_{local}"
    if taken is not None:
        ours = all(is_ours(binding.dotted) or binding.is_fallback for binding in taken.bindings[local])
        while not ours and scope.owner(local) is not None:
            local = f"compat_{local}"
    file.compat_names[local] = api
    return local


def _is_starred(file: FileDraft, name: str) -> bool:
    """Whether a star import brings something of the project's own of a name."""
    return any(name in brought and not is_ours(brought[name]) for brought in file.names.starred.values())


def guarded_name(file: FileDraft, call: ast.Call) -> str:
    """The name by which a place reaches the helper's `scaled_dot_product_attention`; notes that the file needs it."""
    scope = file.names.scope_at[id(call)]
    local = SDPA
    while scope.owner(local) is not None or (local in file.compat_names and file.compat_names[local] != SDPA):
        if (file.names.resolve(ast.Name(local, ast.Load()), scope) or "").endswith(_GUARDED):
            return local  # an earlier run imported it
        local = f"compat_{local}"
    file.compat_names[local] = SDPA
    return local


def is_with_helper(file: FileDraft, call: ast.Call) -> bool:
    """Whether a call is the helper's already, by an import that an earlier run wrote."""
    owner = file.names.scope_at[id(call)].owner(call.func.id) if isinstance(call.func, ast.Name) else None
    bindings = owner.bindings[call.func.id] if owner is not None and isinstance(call.func, ast.Name) else []
    return bool(bindings) and all(isinstance(b.node, ast.ImportFrom) and _is_helper(b.node.module) for b in bindings)


def _is_helper(module: str | None) -> bool:
    return module == PACKAGE_NAME or (module or "").rpartition(".")[2] == MODULE_NAME


def renamed_call(call: ast.Call, function: str, without: ast.expr | None = None) -> CallEdit:
    """The same call of another function, perhaps without one argument."""
    given = {id(a): ArgumentEdit(None) for a in call.args}
    given |= {id(k.value): ArgumentEdit(k.arg) for k in call.keywords}
    given.pop(id(without), None)
    return CallEdit(call, function, given)
