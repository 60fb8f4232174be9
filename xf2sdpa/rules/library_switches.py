"""Switches of other libraries that turn xformers on there are named: without it they raise, or do nothing.

diffusers has `enable_xformers_memory_efficient_attention()`, `set_use_memory_efficient_attention_xformers(True)` with
the attribute that it sets, and processors such as `XFormersAttnProcessor`; classes of its first releases call a method
`_memory_efficient_attention_xformers` that they inherit. None of these is a call of the operator, so nothing is
rewritten; but a project that uses them is not free of xformers. With torch 2 diffusers takes SDPA unless it is told
otherwise, so the call can be deleted. What the file defines itself, or imports from its own project, is the project's
matter, and a processor's class that is only compared (`isinstance(p, XFormersAttnProcessor)`) needs no xformers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.foreign import PROCESSOR
from xf2sdpa.analysis.imports import loads_from
from xf2sdpa.analysis.names import called_name
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.LEFTOVERS
CODES = {"XF411": "another library's switch to xformers"}
EXAMPLES = (
    Example(
        """\
from diffusers import UNet2DConditionModel


def load(path):
    unet = UNet2DConditionModel.from_pretrained(path)
    unet.enable_xformers_memory_efficient_attention()
    return unet
"""
    ),
)
_SWITCHES = frozenset({"enable_xformers_memory_efficient_attention", "set_use_memory_efficient_attention_xformers"})
_INHERITED = "_memory_efficient_attention_xformers"
_FLAG = "_use_memory_efficient_attention_xformers"
_DELETE = "Delete the call: SDPA is diffusers' default."
_LEAVE_OUT = "Leave the processor out: SDPA is diffusers' default."
_BY_SDPA = "Call torch's scaled_dot_product_attention in its place, or take the library's newer class, which does."


def finish(file: FileDraft) -> None:
    """Name each use of such a switch that stays."""
    if file.own_library or ("_xformers" not in file.text and "XFormers" not in file.text):
        return
    own = _own_names(file)
    for node, name, advice in (*_methods(file), *_processors(file)):
        if name not in own and not file.is_gone(node) and not _is_compared(file, node):
            message = f"{name} turns xformers on in another library, or is its code for it"
            file.report(node, "XF411", message, advice, FindingKind.KEEPS)


def _own_names(file: FileDraft) -> set[str]:
    """What the file defines: functions, classes, and attributes that an `__init__` sets."""
    own = set()
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            parts = (part for part in ast.walk(node) if isinstance(part, ast.Attribute))
            own |= {part.attr for part in parts if isinstance(part.ctx, ast.Store) and _is_self(part.value)}
    return own


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _methods(file: FileDraft) -> Iterator[tuple[ast.expr, str, str]]:
    """Calls of a switch or of the inherited method, and the attribute that a switch sets."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in _SWITCHES and not _is_off(node):
                yield node, name, _DELETE
            elif name == _INHERITED:
                yield node, name, _BY_SDPA
        elif isinstance(node, ast.Attribute) and node.attr == _FLAG:
            yield node, _FLAG, _BY_SDPA


def _is_off(call: ast.Call) -> bool:
    """Whether a switch is turned off: `set_use_memory_efficient_attention_xformers(False)`."""
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value is False


def _processors(file: FileDraft) -> Iterator[tuple[ast.expr, str, str]]:
    """Uses of a processor's class, by its name or as an attribute of a module."""
    for statement in (s for s in file.names.imports if isinstance(s, ast.ImportFrom)):
        for alias in statement.names:
            if PROCESSOR.fullmatch(alias.name) and not _is_own(file, statement, alias):
                for load in loads_from(file.names, statement, alias.asname or alias.name):
                    yield load, alias.name, _LEAVE_OUT
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute) and PROCESSOR.fullmatch(node.attr) and file.names.resolve(node):
            yield node, node.attr, _LEAVE_OUT


def _is_own(file: FileDraft, statement: ast.ImportFrom, alias: ast.alias) -> bool:
    """Whether an import takes a class from the file's own project."""
    return statement.level > 0 or f"{statement.module}.{alias.name}" in file.own_imports


def _is_compared(file: FileDraft, node: ast.expr) -> bool:
    """Whether a class is only held against the class of something, or is part of a type."""
    inner: ast.AST = node
    for parent in file.names.ancestors(node):
        if isinstance(parent, ast.Call):
            return called_name(parent.func) in ("isinstance", "issubclass")
        if isinstance(parent, ast.Subscript) and inner is parent.slice:
            return True
        if isinstance(parent, ast.Compare | ast.arg | ast.AnnAssign):
            return not (isinstance(parent, ast.AnnAssign) and inner is parent.value)
        if isinstance(parent, ast.stmt):
            return inner is getattr(parent, "returns", None)
        inner = parent
    return False
