"""Switches of other libraries that turn xformers on there are named where they stay: without it they raise.

diffusers has `enable_xformers_memory_efficient_attention()`, `set_use_memory_efficient_attention_xformers(True)` with
the attribute that it sets, and processors such as `XFormersAttnProcessor`; classes of its first releases call a method
`_memory_efficient_attention_xformers` that they inherit. Where the object is shown to be diffusers' own, they go
(XF180, XF181); where it is not, a project that uses them is not free of xformers. With torch 2 diffusers takes SDPA
unless it is told otherwise, so who knows the object can delete the call. What the file defines itself, or imports from
its own project, is the project's matter, and a processor's class that is only compared
(`isinstance(p, XFormersAttnProcessor)`) needs no xformers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.asking import is_question
from xf2sdpa.analysis.diffusers_objects import class_of, since
from xf2sdpa.analysis.foreign import PROCESSOR, SWITCHES
from xf2sdpa.analysis.imports import loads_from
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.readers import is_compared
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.LEFTOVERS
CODES = {"XF411": "another library's switch to xformers"}
EXAMPLES = (
    Example(
        """\
def load(make, path):
    unet = make(path)
    unet.enable_xformers_memory_efficient_attention()
    return unet
"""
    ),
)
_INHERITED = "_memory_efficient_attention_xformers"
_FLAG = "_use_memory_efficient_attention_xformers"
_TURNED_ON = "{} turns xformers on in another library, and is left, as the object is not shown to be that library's own"
_TOO_OLD = "{{}} turns xformers on in diffusers, and is left, as diffusers {}, to which the project is held, lacks SDPA"
_RUN = "{} is another library's code for xformers"
_OWN = "Classes of this project define that method as well: settle there what they do without xformers; then delete it."
_DELETE = "Delete the call: SDPA is diffusers' default."
_LEAVE_OUT = "Leave the processor out: SDPA is diffusers' default."
_BY_SDPA = "Call torch's scaled_dot_product_attention in its place, or take the library's newer class, which does."


def finish(file: FileDraft) -> None:
    """Name each use of such a switch that stays."""
    if file.own_library or ("_xformers" not in file.text and "XFormers" not in file.text):
        return
    own = _own_names(file) | file.inherited
    for node, message, name, advice in (*_methods(file), *_processors(file)):
        if name not in own and not file.is_gone(node) and not is_compared(file, node):
            file.report(node, "XF411", message.format(name), advice, FindingKind.KEEPS)


def _own_names(file: FileDraft) -> set[str]:
    """What the file defines: functions, and attributes that an `__init__` sets."""
    own = set()
    for node in file.names.parsed.of(ast.FunctionDef):
        own.add(node.name)
        if node.name == "__init__":
            parts = (part for part in ast.walk(node) if isinstance(part, ast.Attribute))
            own |= {part.attr for part in parts if isinstance(part.ctx, ast.Store) and _is_self(part.value)}
    return own


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _methods(file: FileDraft) -> Iterator[tuple[ast.expr, str, str, str]]:
    """Calls of a switch or of the inherited method, and the attribute that a switch sets."""
    for node in file.names.parsed.of(ast.Call, ast.Attribute):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in SWITCHES and not _is_off(node):
                yield node, *_told_of(file, node, name)
            elif name == _INHERITED:
                yield node, _RUN, name, _BY_SDPA
        elif node.attr == _FLAG:
            yield node, _RUN, _FLAG, _BY_SDPA


def _told_of(file: FileDraft, call: ast.Call, name: str) -> tuple[str, str, str]:
    """What is said of a switch that stays, its name, and what to do."""
    made_by = class_of(file.names, call.func.value) if isinstance(call.func, ast.Attribute) else None
    if made_by and file.diffusers is not None and file.diffusers < (needed := since(made_by)):
        held, wanted = (".".join(map(str, release)) for release in (file.diffusers, needed))
        return _TOO_OLD.format(held), name, f"Let the project have diffusers {wanted} or newer, and run again."
    return _TURNED_ON, name, _OWN if file.own_switches else _delete(file, call)


def _delete(file: FileDraft, call: ast.Call) -> str:
    """What to delete: the call, and the `if` that asks for xformers before it, with what raises where it is missing."""
    asking = (
        parent
        for parent in file.names.ancestors(call)
        if isinstance(parent, ast.If) and any(is_question(part) for part in ast.walk(parent.test))
    )
    around = max(asking, key=lambda parent: -parent.lineno, default=None)
    if around is None:
        return _DELETE
    lines = f"lines {around.lineno} to {around.end_lineno}, which ask for xformers first"
    return f"Delete the call, with {lines}: SDPA is diffusers' default."


def _is_off(call: ast.Call) -> bool:
    """Whether a switch is turned off: `set_use_memory_efficient_attention_xformers(False)`."""
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value is False


def _processors(file: FileDraft) -> Iterator[tuple[ast.expr, str, str, str]]:
    """Uses of a processor's class, by its name or as an attribute of a module."""
    for statement in (s for s in file.names.imports if isinstance(s, ast.ImportFrom)):
        for alias in statement.names:
            if PROCESSOR.fullmatch(alias.name) and not _is_own(file, statement, alias):
                for load in loads_from(file.names, statement, alias.asname or alias.name):
                    yield load, _RUN, alias.name, _LEAVE_OUT
    for node in file.names.parsed.of(ast.Attribute):
        if PROCESSOR.fullmatch(node.attr) and file.names.resolve(node):
            yield node, _RUN, node.attr, _LEAVE_OUT


def _is_own(file: FileDraft, statement: ast.ImportFrom, alias: ast.alias) -> bool:
    """Whether an import takes a class from the file's own project."""
    return statement.level > 0 or file.names.is_of_project(f"{statement.module}.{alias.name}")
