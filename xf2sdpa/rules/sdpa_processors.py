"""Processors of diffusers that call xformers become those that call SDPA: `XFormersAttnProcessor` → `AttnProcessor2_0`.

The class changes, and so does its import; the question whether xformers is installed that chose it is answered. Of the
arguments only those go that choose a kernel of xformers (`attention_op=`). A class that is only held against another
(`isinstance(p, XFormersAttnProcessor)`) stays, as it needs no xformers. A project held to a diffusers before 0.17
keeps all (XF411), as some of the counterparts are missing there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from xf2sdpa.analysis.asking import is_question
from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.analysis.flow import block_of
from xf2sdpa.analysis.imports import alias_name, loads_from
from xf2sdpa.analysis.names import called_name
from xf2sdpa.edits.kinds import TakeArm
from xf2sdpa.rulekit.answers import answer
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.readers import is_compared, is_reexported
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.QUESTIONS
AFTER = ("removed_switches",)
CODES = {"XF181": "a processor of diffusers that calls xformers becomes the one that calls SDPA"}
EXAMPLES = (
    Example(
        before="""\
from diffusers.models.attention_processor import XFormersAttnProcessor


def prepare(unet):
    unet.set_attn_processor(XFormersAttnProcessor(attention_op=None))
""",
        after="""\
from diffusers.models.attention_processor import AttnProcessor2_0


def prepare(unet):
    unet.set_attn_processor(AttnProcessor2_0())
""",
        helper=True,
    ),
)
_COUNTERPARTS: Mapping[str, str] = {
    "XFormersAttnProcessor": "AttnProcessor2_0",
    "XFormersAttnAddedKVProcessor": "AttnAddedKVProcessor2_0",
    "XFormersJointAttnProcessor": "JointAttnProcessor2_0",
    "LoRAXFormersAttnProcessor": "LoRAAttnProcessor2_0",
    "CustomDiffusionXFormersAttnProcessor": "CustomDiffusionAttnProcessor2_0",
    "IPAdapterXFormersAttnProcessor": "IPAdapterAttnProcessor2_0",
}
_SINCE = (0, 17)


def finish(file: FileDraft) -> None:
    """Put the counterparts in."""
    if file.own_library or "XFormers" not in file.text or (file.diffusers is not None and file.diffusers < _SINCE):
        return
    for statement in file.names.imports:
        if isinstance(statement, ast.ImportFrom) and statement.level == 0:
            for alias in statement.names:
                theirs = str(statement.module).partition(".")[0] == "diffusers"
                if (
                    theirs
                    and alias.name in _COUNTERPARTS
                    and not file.names.is_of_project(f"{statement.module}.{alias.name}")
                ):
                    _exchange(file, statement, alias)


def _exchange(file: FileDraft, statement: ast.ImportFrom, alias: ast.alias) -> None:
    """Exchange one class where it is made or given, and its import with it."""
    name, new = alias.asname or alias.name, _COUNTERPARTS[alias.name]
    loads = [load for load in loads_from(file.names, statement, name) if not file.is_gone(load)]
    used = [load for load in loads if not is_compared(file, load) and not _is_base(file, load)]
    if not used or file.names.module is not file.names.scope_at[id(used[0])].owner(name):
        return
    bound = any(binding.dotted for binding in file.names.module.bindings.get(new, ()))
    taken = not bound and new in file.names.loads
    made = {id(load): _made_by(file, load) for load in used}
    if taken or any(text is None for text in made.values()):
        return
    done = [
        _is_taken_before(file, load, new, made[id(load)] or "") or _put(file, load, new, made[id(load)] or "")
        for load in used
    ]
    if not all(done):
        return
    file.migrated = True  # what still asks for xformers is told from here on
    for load in used:
        _settle_questions(file, load)
    if not bound:
        file.add_import(f"from {statement.module} import {new}", statement)
    spare = set(_spare(file, statement)) - {new}
    if spare:
        file.drop_names(statement, spare, "XF181")


def _spare(file: FileDraft, statement: ast.ImportFrom) -> Iterator[str]:
    """The processors of an import that only what is gone now has read."""
    for name in (alias_name(alias) for alias in statement.names if "Processor" in alias.name):
        loads = loads_from(file.names, statement, name)
        if loads and all(map(file.is_gone, loads)) and not is_reexported(file, name, used=True):
            yield name


def _is_taken_before(file: FileDraft, load: ast.Name, new: str, arguments: str) -> bool:
    """Take an arm away that would do again what the statement or the arm before it does; whether that was so.

    `p = AttnProcessor2_0`, then `if is_xformers_available(): p = XFormersAttnProcessor`; or the same as an `elif`.
    """
    statement = file.names.statement(load)
    choice = file.names.parents[id(statement)]
    if not (isinstance(choice, ast.If) and choice.body == [statement] and is_question(choice.test)):
        return False
    call = file.names.parents[id(load)]
    made = isinstance(call, ast.Call) and call.func is load
    text = ast.unparse(statement).replace(ast.unparse(call if made else load), f"{new}({arguments})" if made else new)
    above = file.names.parents[id(choice)]
    if isinstance(above, ast.If) and above.orelse == [choice]:
        if [ast.unparse(part) for part in above.body] != [text] or not is_idle(above.test):
            return False
        taken = file.ask(TakeArm(above, answer=True), "XF181")
        for part in (above.test, choice) if taken else ():
            file.take_away(part)
        return taken
    block = block_of(file.names, choice)
    before = block[block.index(choice) - 1 : block.index(choice)]
    return not choice.orelse and [ast.unparse(part) for part in before] == [text] and file.drop(choice, "XF181")


def _put(file: FileDraft, load: ast.Name, new: str, arguments: str) -> bool:
    call = file.names.parents[id(load)]
    if isinstance(call, ast.Call) and call.func is load:
        return file.replace(call, f"{new}({arguments})", "XF181")
    return file.replace(load, new, "XF181")


def _settle_questions(file: FileDraft, load: ast.Name) -> None:
    """Answer whether xformers is installed where that decides for the class: it would be no, and a slower one taken."""
    inner: ast.AST = load
    for parent in file.names.ancestors(load):
        if isinstance(parent, ast.If | ast.IfExp) and inner is not parent.test and not file.is_gone(parent.test):
            asked = [p for p in ast.walk(parent.test) if is_question(p)]
            for question in asked:
                answer(file, question, True, "XF181")
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return
        inner = parent


def _made_by(file: FileDraft, load: ast.Name) -> str | None:
    """The arguments of a call of the class without the choice of a kernel; None where those do something."""
    call = file.names.parents[id(load)]
    if not (isinstance(call, ast.Call) and call.func is load):
        return ""
    kept = [ast.unparse(argument) for argument in call.args]
    for keyword in call.keywords:
        if keyword.arg == "attention_op" and not is_idle(keyword.value):
            return None
        kept += [ast.unparse(keyword)] if keyword.arg != "attention_op" else []
    return None if call.args and called_name(call.func) == "XFormersAttnProcessor" else ", ".join(kept)


def _is_base(file: FileDraft, load: ast.Name) -> bool:
    """Whether a class of the file derives from it."""
    parent = file.names.parents[id(load)]
    return isinstance(parent, ast.ClassDef) and load in parent.bases
