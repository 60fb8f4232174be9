"""What reaches xformers by a way that cannot be followed is named: nobody should find out after uninstalling it.

Operators that xformers registers with torch (`torch.ops.xformers_flash.flash_fwd`) vanish with it; torch's own
attention runs other ones. A file that reads them keeps its imports of xformers, which register them. A module imported
by a string, kept on an object or in a class body is not followed, so a call of `.memory_efficient_attention` on it
stays as it is.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import ATTENTION, is_ours
from xf2sdpa.analysis.names import called_name
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.off_limits import registered_operators
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.LEFTOVERS
AFTER = ("installed_questions",)
CODES = {
    "XF404": "an operator that xformers registers with torch",
    "XF405": "xformers is imported by a string",
    "XF406": "a call that may be xformers' operator, on an object that cannot be followed",
}
EXAMPLES = (
    Example(
        """\
import torch

KEEP = {torch.ops.xformers_flash.flash_fwd.default}
"""
    ),
)


def finish(file: FileDraft) -> None:
    """Report registered operators, imports by a string, and calls on what cannot be followed."""
    for node in registered_operators(file):
        message = f"{file.names.resolve(node)} is gone once xformers is uninstalled"
        advice = "Name the operators that torch's attention runs: aten._scaled_dot_product_*_attention."
        _report(file, node, "XF404", message, advice)
    for call in file.names.calls:
        if not file.is_gone(call):
            _look_at(file, call)


def _look_at(file: FileDraft, call: ast.Call) -> None:
    first = call.args[0] if call.args else None
    literal = first.value if isinstance(first, ast.Constant) else None
    if called_name(call.func) in ("import_module", "__import__") and isinstance(literal, str) and is_ours(literal):
        message = f"{literal} is imported by a string, which is not followed"
        _report(file, call, "XF405", message, f"Write `import {literal}`, and run again.")
    elif isinstance(call.func, ast.Name) and call.func.id == ATTENTION and _is_by_star(file, call.func):
        message = f"{ATTENTION} may be xformers' operator: only a star import can bring it"
        _report(file, call, "XF406", message, "Import the operator by name at the top of the file, and run again.")
    elif isinstance(call.func, ast.Attribute) and call.func.attr == "memory_efficient_attention":
        owner = call.func.value
        if file.names.resolve(call.func) is None and not isinstance(owner, ast.Call):
            message = f"{ast.unparse(owner)} may be xformers' module, but where it comes from is not seen here"
            _report(file, call, "XF406", message, "Import the operator by name at the top of the file, and run again.")


def _is_by_star(file: FileDraft, function: ast.Name) -> bool:
    """Whether nothing but a star import binds a name, and it is not known to be ours."""
    stars = [star for star in file.names.module.stars if not star.endswith("_attention_compat")]
    unbound = file.names.scope_at[id(function)].owner(function.id) is None
    return bool(stars) and unbound and not is_ours(file.names.resolve(function))


def _report(file: FileDraft, node: ast.expr, code: str, message: str, advice: str) -> None:
    kind = FindingKind.UNSURE if code == "XF406" else FindingKind.KEEPS
    file.report(node, code, message, advice, kind)
