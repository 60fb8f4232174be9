"""Calls that switch diffusers to xformers go, with all that stands around them for their sake.

With torch 2, diffusers takes SDPA unless it is told otherwise (its UNets, transformers and ControlNets since 0.13, its
autoencoders since 0.17), so `unet.enable_xformers_memory_efficient_attention()` is deleted, never replaced by
`disable_…`, which sets another class. With it go the question whether xformers is installed, the look at its release,
the warning, the error where it is missing, the `try`; an option of the command line that asked for it is accepted as
before. What is switched must be diffusers' own: an object that a class of diffusers makes, a part of one, one annotated
so, or what all calls in a program pass for a parameter. A class of the project may have more behind the method than
diffusers has, and is left (XF411).

`set_attention_backend("xformers")` becomes `"native"`, which is SDPA. A project held to an older diffusers keeps both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from xf2sdpa.analysis.asking import FINDING, is_named_as_question, is_question
from xf2sdpa.analysis.diffusers_objects import class_of, since
from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.analysis.imports import brings_ours, is_lookup, is_message, serves_questions, whole_name
from xf2sdpa.analysis.masks import negation
from xf2sdpa.analysis.names import called_name
from xf2sdpa.edits.kinds import TakeArm, TakeElse
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.messages import only_tells
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.QUESTIONS
CODES = {"XF180": "diffusers' switch to xformers goes: SDPA is its default"}
EXAMPLES = (
    Example(
        before="""\
from diffusers import UNet2DConditionModel
from diffusers.utils.import_utils import is_xformers_available


def load(path, args):
    unet = UNet2DConditionModel.from_pretrained(path)
    if args.enable_xformers_memory_efficient_attention:
        if is_xformers_available():
            unet.enable_xformers_memory_efficient_attention()
        else:
            raise ValueError("xformers is not available. Make sure it is installed correctly")
    return unet
""",
        after="""\
from diffusers import UNet2DConditionModel


def load(path, args):
    unet = UNet2DConditionModel.from_pretrained(path)
    return unet
""",
    ),
)
_SWITCHES = frozenset({"enable_xformers_memory_efficient_attention", "set_use_memory_efficient_attention_xformers"})
_BACKENDS = frozenset({"set_attention_backend", "attention_backend"})
_HARMLESS = frozenset(
    {"is_available", "hasattr", "getattr", "isinstance", "len", "bool", "str", "parse", "parse_version", "Version"}
)
"""Functions that only tell something, which a condition may ask.

Not those of `makes_words`, though some are the same: what words for a person are made of is never asked for its answer.
A condition decides something, so fewer are trusted here, and `get` only where it looks a word up.
"""


def finish(file: FileDraft) -> None:
    """Remove the switches that are diffusers' own."""
    if file.own_library or "xformers" not in file.text or not ("diffusers" in file.text or file.names.subclasses):
        return
    going = _Going(file, [s for call in file.names.calls if (s := _switch(file, call)) is not None])
    for choice in going.turned:
        if file.ask(TakeElse(choice, negation(choice.test, file.lines)), "XF180"):
            for part in choice.body:
                file.take_away(part)
    for statement in going.outermost():
        if file.is_gone(statement):
            continue
        if isinstance(statement, ast.If) and going.is_elif(statement):
            if file.ask(TakeArm(statement, answer=False), "XF180"):
                file.take_away(statement)
        else:
            file.drop(statement, "XF180")
    for call in file.names.calls:
        first = call.args[0] if call.args else None
        if _names_backend(file, call) and isinstance(first, ast.Constant):
            file.replace(first, '"native"', "XF180")
    if file.anything_gone():
        file.migrated = True  # so that imports, guards and questions that only served a switch go as those of calls do


def _switch(file: FileDraft, call: ast.Call) -> ast.stmt | None:
    """The statement that a call is, if it does nothing but switch an object of diffusers to xformers."""
    function = call.func
    statement = file.names.parents[id(call)]
    if not (isinstance(function, ast.Attribute) and function.attr in _SWITCHES and isinstance(statement, ast.Expr)):
        return None
    if any(isinstance(argument, ast.Constant) and argument.value is False for argument in call.args):
        return None  # switched off
    if "xformers" in getattr(file.names.function(call), "name", ""):
        return None  # the project's own switch, which would do nothing without it
    made_by = class_of(file.names, function.value)
    if not made_by or not all(map(is_idle, (*call.args, *(k.value for k in call.keywords)))):
        return None
    return statement if file.diffusers is None or file.diffusers >= since(made_by) else None


def _names_backend(file: FileDraft, call: ast.Call) -> bool:
    first = call.args[0] if call.args else None
    if not (isinstance(first, ast.Constant) and first.value == "xformers" and called_name(call.func) in _BACKENDS):
        return False
    if isinstance(call.func, ast.Attribute) and class_of(file.names, call.func.value):
        return True
    dotted = file.names.resolve(call.func) or ""
    return dotted.startswith("diffusers.") and not file.names.is_of_project(dotted)


class _Going:
    """The statements that go: switches, and what is there only for their sake."""

    def __init__(self, file: FileDraft, switches: Iterable[ast.stmt]) -> None:
        self._file = file
        self._going = {id(switch): switch for switch in switches}
        self.turned: list[ast.If] = []
        """Choices whose other arm stays."""
        waiting = list(self._going.values())
        while waiting:
            around = file.names.parents[id(waiting.pop())]
            around = file.names.parents[id(around)] if isinstance(around, ast.ExceptHandler) else around
            if not isinstance(around, ast.If | ast.Try) or id(around) in self._going or around in self.turned:
                continue
            if self._goes(around):
                waiting.append(around)
                if not (self.is_elif(around) and around.orelse):  # else it goes only with the whole chain
                    self._going[id(around)] = around

    def outermost(self) -> Iterator[ast.stmt]:
        """The statements that go and stand in none that goes."""
        for statement in self._going.values():
            if not any(id(parent) in self._going for parent in self._file.names.ancestors(statement)):
                yield statement

    def _goes(self, around: ast.If | ast.Try) -> bool:
        if isinstance(around, ast.Try):
            parts = [*around.body, *around.orelse, *around.finalbody]
            handled = [statement for handler in around.handlers for statement in handler.body]
            return all(self._is_idle(s, around) for s in parts) and all(
                is_message(s) or self._gives_up(s, around) for s in handled
            )
        if not _only_tells(around.test) or not all(self._is_idle(s, around) for s in around.body):
            return False
        if all(self._gives_up(s, around) for s in around.orelse):
            return True
        if is_question(around.test):  # where xformers is missing, something slower is done
            return not self.is_elif(around)
        if not self.is_elif(around) and not self.is_elif(around.orelse[0]):
            self.turned.append(around)
        return False

    def is_elif(self, choice: ast.stmt) -> bool:
        """Whether a statement is an `elif`, or an `else` that holds nothing but an `if`."""
        parent = self._file.names.parents[id(choice)]
        return isinstance(choice, ast.If) and isinstance(parent, ast.If) and parent.orelse == [choice]

    def _gives_up(self, statement: ast.stmt, around: ast.stmt) -> bool:
        return isinstance(statement, ast.Raise) or self._is_idle(statement, around)

    def _is_idle(self, statement: ast.stmt, around: ast.stmt) -> bool:
        """Whether nothing is lost with a statement once the switches in it are gone."""
        if id(statement) in self._going or isinstance(statement, ast.Pass) or only_tells(self._file, statement):
            return True
        if isinstance(statement, ast.Import | ast.ImportFrom):
            whole = [whole_name(statement, alias) for alias in statement.names]
            ours = brings_ours(statement) or all(serves_questions(path) or _is_question(path) for path in whole)
            bound = {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
            return ours and self._is_read_only_in(around, bound)
        if isinstance(statement, ast.Assign):
            names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
            plain = len(names) == len(statement.targets) and _only_tells(statement.value)
            return plain and self._is_read_only_in(around, names)
        if isinstance(statement, ast.Assert):
            return _only_tells(statement.test) and "xformers" in ast.unparse(statement).lower()
        if isinstance(statement, ast.If):
            arms = [*statement.body, *statement.orelse]
            return _only_tells(statement.test) and all(self._gives_up(s, around) for s in arms)
        return False

    def _is_read_only_in(self, around: ast.stmt, names: set[str]) -> bool:
        inside = {id(part) for part in ast.walk(around)}
        loads = [load for name in names for load in self._file.names.loads.get(name, ())]
        return not names & self._file.handed_on and all(id(load) in inside for load in loads)


def _is_question(dotted: str) -> bool:
    """Whether an import brings a question of diffusers' own, which is loaded all the same."""
    return dotted.startswith("diffusers.") and is_named_as_question(dotted.rpartition(".")[2])


def _only_tells(test: ast.expr) -> bool:
    """Whether evaluating an expression does nothing."""
    for part in ast.walk(test):
        if isinstance(part, ast.Await | ast.NamedExpr | ast.Yield | ast.YieldFrom):
            return False
        if isinstance(part, ast.Call):
            name = called_name(part.func)
            harmless = name in _HARMLESS | FINDING or is_lookup(part) or _looks_up_key(part)
            if not (harmless or is_question(part)):
                return False
    return True


def _looks_up_key(call: ast.Call) -> bool:
    """`settings.get("kind", "2d")`: of a mapping, as a queue takes no word and a request an address."""
    first = call.args[0] if call.args else None
    word = isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.isidentifier()
    return isinstance(call.func, ast.Attribute) and call.func.attr == "get" and word and not call.keywords
