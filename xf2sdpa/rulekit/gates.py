"""What a question, a flag or a guard decides besides the project's own attention."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator

from xf2sdpa.analysis import lookups
from xf2sdpa.analysis.api import api_name
from xf2sdpa.analysis.flow import block_of, loads_of
from xf2sdpa.analysis.foreign import LEAVING, is_own, switches
from xf2sdpa.analysis.imports import GuardNode, bound_name, brings_ours, is_message, loads_from, scope_of, whole_name
from xf2sdpa.analysis.names import called_name
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import has_helper

_RUNNING = re.compile(r"pip|install|^(?:check_call|check_output|call|run|system|Popen|popen|main|exec\w*)$")
"""Functions that run an installer which they are told of."""
_DEEPEST = 3
"""How far an answer is followed from one variable or function to the next."""


@functools.lru_cache(maxsize=2)
def _all_switches(file: FileDraft) -> tuple[ast.AST, ...]:
    return tuple(switches(file.names, own_library=file.own_library))


def _switches(file: FileDraft) -> frozenset[int]:
    """What switches another library on, and stays."""
    return frozenset(id(node) for node in _all_switches(file) if not file.is_gone(node))


@functools.lru_cache(maxsize=2)
def _around_switches(file: FileDraft) -> dict[int, list[ast.AST]]:
    """All that holds switches, by its id: itself a switch, or around some."""
    found: dict[int, list[ast.AST]] = {}
    for switch in _all_switches(file):
        for node in (switch, *file.names.ancestors(switch)):
            found.setdefault(id(node), []).append(switch)
    return found


def decides_for_others(file: FileDraft, node: ast.AST, depth: int = 0) -> bool:
    """Whether an expression decides if another library uses xformers: directly, by a variable, by a function."""
    if not _switches(file) or depth > _DEEPEST:
        return False
    child: ast.AST = node
    for parent in file.names.ancestors(node):
        if id(parent) in _switches(file) or _chooses(file, parent, child):
            return True
        if isinstance(parent, ast.Assign | ast.AnnAssign) and child is parent.value:
            return any(decides_for_others(file, load, depth + 1) for load in _readers_of(file, parent))
        if isinstance(parent, ast.Return):
            return any(decides_for_others(file, call, depth + 1) for call in _calls_of_function(file, parent))
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return False
        child = parent
    return False


def decides_an_install(file: FileDraft, node: ast.expr) -> bool:
    """Whether a question decides if a package is installed: `if not is_installed("xformers"): run_pip("install …")`.

    There it is asked for the package itself, and True would be no answer where it is absent.
    """
    around = file.names.statement(node)
    if not isinstance(around, ast.If):  # else it stands in the condition
        return False
    arms = (s for s in (*around.body, *around.orelse) if not is_message(s) and not isinstance(s, ast.Raise))
    return any(_installs(part) for s in arms for part in ast.walk(s) if isinstance(part, ast.Call))


def _installs(call: ast.Call) -> bool:
    """Whether a call runs an installer: `check_call([…, "pip", "install", …])`, `run_pip("install …")`."""
    if _RUNNING.search(called_name(call.func)) is None:
        return False
    said = (part.value for argument in call.args for part in ast.walk(argument) if isinstance(part, ast.Constant))
    return any(re.search(r"\binstall\b", text) for text in said if isinstance(text, str))


def _chooses(file: FileDraft, parent: ast.AST, test: ast.AST) -> bool:
    """Whether a condition leads to a switch: in its arms, or behind it where it may leave the block."""
    if isinstance(parent, ast.IfExp | ast.If | ast.While) and parent.test is test:
        if holds_switch(file, [*ast.iter_child_nodes(parent)]):
            return True
        if isinstance(parent, ast.If) and isinstance(parent.body[-1], LEAVING):
            block = block_of(file.names, parent)
            return holds_switch(file, block[block.index(parent) + 1 :])
    return False


def holds_switch(file: FileDraft, nodes: Iterable[ast.AST]) -> bool:
    """Whether some code tells another library to use xformers, and goes on doing so."""
    around = _around_switches(file)
    return any(not file.is_gone(switch) for node in nodes for switch in around.get(id(node), ()))


def _readers_of(file: FileDraft, statement: ast.Assign | ast.AnnAssign) -> Iterator[ast.Name]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        if isinstance(target, ast.Name):
            yield from loads_of(file.names, target.id, scope_of(file.names, statement))


def _calls_of_function(file: FileDraft, statement: ast.stmt) -> Iterator[ast.Call]:
    function = file.names.function(statement)
    name = getattr(function, "name", "")
    yield from (call for call in file.names.calls if isinstance(call.func, ast.Name) and call.func.id == name)


@functools.lru_cache(maxsize=2)
def hides_package(file: FileDraft) -> tuple[ast.expr | ast.stmt, ...]:
    """Where the file makes imports of xformers fail: whoever asks for it there asks for that, too."""
    return tuple(lookups.hides_package(file.names))


# -- guards ------------------------------------------------------------------------------------------


def is_others_matter(file: FileDraft, guard: GuardNode) -> bool:
    """Whether a guard around an import of ours is about something else than the project's own attention.

    The file hides xformers at times. It holds a switch of another library, or sets a flag that decides about one. Or it
    only asks whether xformers is there (nothing reads what it imports, it sets no flag), and acts on others where it is
    not, or speaks for a part of xformers that stays in use here.
    """
    if hides_package(file) or holds_switch(file, [guard]) or any(_acts_on_others(file, s) for s in _body(guard)):
        return True
    flags = list(_flags(guard))
    if any(decides_for_others(file, load) for name in flags for load in _loads(file, guard, name)):
        return True
    if flags or _feeds(file, guard):
        return False
    return any(_acts(file, s) for s in _handled(guard)) or _needs_ours_besides(file, guard)


def _body(guard: GuardNode) -> Iterator[ast.stmt]:
    blocks = [guard.body] if isinstance(guard, ast.With | ast.If) else [guard.body, guard.orelse]
    for block in blocks:
        yield from (part for s in block for part in ast.walk(s) if isinstance(part, ast.stmt))


def _handled(guard: GuardNode) -> Iterator[ast.stmt]:
    """What is done where the import fails."""
    if isinstance(guard, ast.Try):
        yield from (statement for handler in guard.handlers for statement in handler.body)
    elif isinstance(guard, ast.If):
        yield from guard.orelse


def _acts_on_others(file: FileDraft, statement: ast.stmt) -> bool:
    """`painter.checks.fast = True`: a store into an object that is not the project's."""
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return any(isinstance(t, ast.Attribute | ast.Subscript) and not is_own(file.names, t) for t in targets)


def _acts(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether a statement does anything but say something, give up or set a plain variable."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return not is_message(statement) and not _leaves(statement.value)
    return _acts_on_others(file, statement)


def _leaves(call: ast.Call) -> bool:
    function = call.func
    return getattr(function, "attr", getattr(function, "id", "")) in ("exit", "_exit", "quit", "abort", "skip")


def _flags(guard: GuardNode) -> Iterator[str]:
    """The variables and own attributes that a guard sets, whatever to."""
    for statement in (*_body(guard), *_handled(guard)):
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    yield target.id
                elif isinstance(target, ast.Attribute) and getattr(target.value, "id", "") in ("self", "cls"):
                    yield target.attr


def _loads(file: FileDraft, guard: ast.stmt, name: str) -> list[ast.expr]:
    """Where a flag is read: a variable in its scope, an attribute of the object wherever it stands."""
    found: list[ast.expr] = list(loads_of(file.names, name, scope_of(file.names, guard)))
    attributes = (p for loads in file.names.loads.get("self", ()) for p in [file.names.parents[id(loads)]])
    return [*found, *(a for a in attributes if isinstance(a, ast.Attribute) and a.attr == name)]


def _feeds(file: FileDraft, guard: GuardNode) -> bool:
    """Whether something outside a guard reads what it imports of ours, or read it before the rewrite."""
    inside = {id(node) for node in ast.walk(guard)}
    return any(
        bound_name(statement, alias) in file.handed_on
        or any(id(load) not in inside for load in loads_from(file.names, statement, bound_name(statement, alias)))
        for statement in file.names.imports
        if id(statement) in inside and brings_ours(statement)
        for alias in statement.names
    )


def _needs_ours_besides(file: FileDraft, guard: GuardNode) -> bool:
    """Whether the file goes on using a part of xformers that nothing stands in for."""
    inside = {id(node) for node in ast.walk(guard)}
    for statement in file.names.imports:
        if id(statement) in inside or not brings_ours(statement) or file.is_gone(statement):
            continue
        for alias in statement.names:
            readers = file.readers(bound_name(statement, alias), scope_of(file.names, statement))
            taken = readers and isinstance(statement, ast.ImportFrom)
            if taken and not has_helper(file, api_name(whole_name(statement, alias))):
                return True
    return False
