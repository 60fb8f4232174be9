"""A guard around the import of xformers becomes what it stood for: the fast path is there.

`try: import xformers … FLAG = True / except ImportError: FLAG = False` becomes the helper's import, if one is needed,
and `FLAG = True`; messages that would now lie go. An environment switch keeps its meaning: people use it to reach the
eager path. Left behind, such a guard would quietly turn the fast path off once xformers is uninstalled. A guard that
does more keeps its frame; only the import in it goes.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.masks import is_boolean, negation
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.draft import FileDraft
from xf2sdpa.edits import ReplaceStatement
from xf2sdpa.emit import import_line
from xf2sdpa.rule import Example
from xf2sdpa.rules.comparison import bars_helper
from xf2sdpa.rules.compat_names import has_helper
from xf2sdpa.rules.imports import bound_name, is_message, is_wanted_as_it_is, outermost_guard, scope_of, whole_name

ORDER = 85
CODES = {"XF141": "a guard around xformers becomes the flag set to what it stood for"}

EXAMPLES = (
    Example(
        before="""\
import os

ENABLED = os.environ.get("XFORMERS_DISABLED") is None
try:
    if ENABLED:
        from xformers.ops import memory_efficient_attention

        AVAILABLE = True
    else:
        raise ImportError
except ImportError:
    AVAILABLE = False
    print("xformers is not there")


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias) if AVAILABLE else None
""",
        after="""\
import os

ENABLED = os.environ.get("XFORMERS_DISABLED") is None
from _attention_compat import memory_efficient_attention
AVAILABLE = ENABLED


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias) if AVAILABLE else None
""",
        helper=True,
    ),
)


@dataclass
class Guard:
    """What a guard does, apart from messages.

    Attributes:
        condition: the switch under which it tries the import at all, as text; None if there is none.
        names: what the helper must bind, by the name used here.
        flags: variables set True when the import worked and False when not.
        fallbacks: statements that put something else in the place of what was not imported.
        nones: variables set to None instead.
        kept: expressions whose text goes on.
    """

    condition: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    flags: dict[str, None] = field(default_factory=dict)
    fallbacks: list[str] = field(default_factory=list)
    nones: list[str] = field(default_factory=list)
    kept: list[ast.expr] = field(default_factory=list)


class _NotAGuard(Exception):
    """The statement does something besides guarding imports of ours."""


def finish(file: FileDraft) -> None:
    """Resolve every guard whose imports the file can do without."""
    if file.compat is None or bars_helper(file) or not (file.migrated or file.compat_names):
        return
    asking = [file.names.statement(call) for call in file.names.calls if is_lookup(call)]
    guards = (outermost_guard(file, s) for s in (*filter(_is_ours, file.names.imports), *asking))
    for guard in {id(guard): guard for guard in guards if guard is not None}.values():
        if id(guard) in file.gone:
            continue
        try:
            found = _read(file, guard)
        except _NotAGuard:
            continue
        file.compat_names.update(found.names)
        if not found.fallbacks and scope_of(file, guard) is file.names.module:
            found.names.update(file.pending())
        file.bound_in_place.update(found.names)
        file.edits.append(ReplaceStatement(guard, _written(file, found)))
        file.take_away(guard)
        for node in found.kept:
            file.give_back(node)


def is_lookup(call: ast.Call) -> bool:
    """Whether a call asks the installation about xformers: `importlib.metadata.version("xformers")`."""
    first = call.args[0] if len(call.args) == 1 else None
    named = isinstance(first, ast.Constant) and isinstance(first.value, str) and is_ours(first.value)
    return named and called_name(call.func) in ("version", "distribution", "get_distribution", "find_spec")


def _is_idle_lookup(file: FileDraft, statement: ast.stmt) -> bool:
    """A look-up whose answer nothing reads: only its failing mattered."""
    value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
    if not (isinstance(value, ast.Call) and is_lookup(value)):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return all(isinstance(t, ast.Name) and not _is_read(file, statement, t.id) for t in targets)


def _is_ours(statement: ast.Import | ast.ImportFrom) -> bool:
    return any(is_ours(whole_name(statement, alias)) for alias in statement.names)


def _read(file: FileDraft, node: ast.Try | ast.If) -> Guard:
    guard = Guard()
    if isinstance(node, ast.If):
        _read_condition(node)
        _read_body(file, node.body, guard)
        _read_failure(file, node.orelse, guard)
        return guard
    if node.finalbody:
        raise _NotAGuard
    _read_body(file, [*node.body, *node.orelse], guard)
    for handler in node.handlers:
        _read_failure(file, handler.body, guard)
    if guard.condition is not None and any(_is_read(file, node, name) for name in guard.nones):
        raise _NotAGuard  # whether it is None says whether the switch is set
    return guard


def _is_read(file: FileDraft, node: ast.stmt, name: str) -> bool:
    loads = loads_of(file.names, name, scope_of(file, node))
    return name in file.handed_on or any(id(load) not in file.gone for load in loads)


def _read_condition(node: ast.If) -> None:
    """Only a question about xformers itself: `is_xformers_available()`, a flag, a look-up."""
    parts = [part for part in ast.walk(node.test) if isinstance(part, ast.Name | ast.Attribute | ast.Constant)]
    words = [getattr(p, "id", None) or getattr(p, "attr", None) or str(getattr(p, "value", "")) for p in parts]
    if isinstance(node.test, ast.BoolOp) or not any("xformers" in str(word).lower() for word in words):
        raise _NotAGuard
    negated = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
    if negated or "disable" in " ".join(map(str, words)).lower():
        raise _NotAGuard


def _read_body(file: FileDraft, statements: list[ast.stmt], guard: Guard) -> None:
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _read_import(file, statement, guard)
        elif (flag := _constant(statement, True)) is not None:
            guard.flags[flag] = None
        elif isinstance(statement, ast.If) and guard.condition is None:
            _read_switch(file, statement, guard)
        elif not (is_message(statement) or isinstance(statement, ast.Pass) or _is_idle_lookup(file, statement)):
            raise _NotAGuard


def _read_switch(file: FileDraft, statement: ast.If, guard: Guard) -> None:
    """`if ENABLED: import … else: raise ImportError`, or the other way round."""
    if _gives_up(statement.orelse):
        guard.kept.append(statement.test)
        guard.condition, body = source_of(statement.test, file.lines), statement.body
        if not is_boolean(statement.test) and not isinstance(statement.test, ast.Name):
            guard.condition = f"bool({guard.condition})"
    elif _gives_up(statement.body):
        guard.kept.append(statement.test)
        guard.condition, body = negation(statement.test, file.lines), statement.orelse
    else:
        raise _NotAGuard
    _read_body(file, body, guard)


def _gives_up(statements: list[ast.stmt]) -> bool:
    if not statements or not isinstance(statements[-1], ast.Raise):
        return False
    return all(is_message(statement) for statement in statements[:-1])


def _read_import(file: FileDraft, statement: ast.Import | ast.ImportFrom, guard: Guard) -> None:
    for alias in statement.names:
        dotted, name = whole_name(statement, alias), bound_name(statement, alias)
        if not is_ours(dotted) or name == "*":
            raise _NotAGuard
        loads = loads_of(file.names, name, scope_of(file, statement))
        needed = name in file.handed_on or any(id(load) not in file.gone for load in loads)
        api = api_name(dotted)
        if needed and (isinstance(statement, ast.Import) or not has_helper(api)):
            raise _NotAGuard
        if is_wanted_as_it_is(file, statement, name):
            raise _NotAGuard
        if needed and api is not None:
            guard.names[name] = api


def _read_failure(file: FileDraft, statements: list[ast.stmt], guard: Guard) -> None:
    """What happens without xformers: flags, `xops = None`, fallbacks, messages."""
    for statement in statements:
        if (flag := _constant(statement, False)) is not None:
            guard.flags[flag] = None
        elif (name := _constant(statement, None)) is not None:
            guard.nones.append(name)
        elif is_message(statement):
            continue
        elif isinstance(statement, ast.Assign):
            guard.fallbacks.append(source_of(statement, file.lines))
        elif not isinstance(statement, ast.Pass | ast.Raise):
            raise _NotAGuard


def _constant(statement: ast.stmt, value: object) -> str | None:
    """The variable that a statement sets to a constant."""
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return None
    target = statement.targets[0]
    same = isinstance(statement.value, ast.Constant) and statement.value.value is value
    return target.id if same and isinstance(target, ast.Name) else None


def _written(file: FileDraft, guard: Guard) -> str:
    """The statements that a guard becomes; nothing, if nothing of it is needed."""
    imports = [import_line(file.compat or "", guard.names)] if guard.names else []
    if guard.condition is None or not (guard.names or guard.flags):
        return "\n".join([*imports, *(f"{flag} = True" for flag in guard.flags)])
    if not guard.fallbacks:
        return "\n".join([*imports, *(f"{flag} = {guard.condition}" for flag in guard.flags)])
    works = [*imports, *(f"{flag} = True" for flag in guard.flags)] or ["pass"]
    fails = [*(f"{flag} = False" for flag in guard.flags), *guard.fallbacks]
    condition = (
        guard.condition.removeprefix("bool(").removesuffix(")")
        if guard.condition.startswith("bool(")
        else guard.condition
    )
    indented = [f"if {condition}:", *_indent(works), "else:", *_indent(fails)]
    return "\n".join(indented)


def _indent(statements: list[str]) -> list[str]:
    return [f"    {line}" for statement in statements for line in statement.splitlines()]
