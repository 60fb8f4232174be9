"""A guard around the import of xformers becomes what it stood for: the fast path is there.

`try: import xformers … FLAG = True / except ImportError: FLAG = False` becomes the helper's import, if one is needed,
and `FLAG = True`; messages that would now lie go. An environment switch keeps its meaning: people use it to reach the
eager path. Left behind, such a guard would quietly turn the fast path off once xformers is uninstalled. A guard that
does more keeps its frame; only the import in it goes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import (
    GuardNode,
    ImportNode,
    alias_name,
    bound_name,
    brings_ours,
    guards_around,
    is_lookup,
    is_message,
    loads_from,
    scope_of,
    whole_name,
)
from xf2sdpa.analysis.masks import is_boolean, negation
from xf2sdpa.analysis.names import called_name, first_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.draft import FileDraft
from xf2sdpa.edits import AddImport, ReplaceStatement
from xf2sdpa.emit import import_line
from xf2sdpa.rule import Example
from xf2sdpa.rules.comparison import bars_helper
from xf2sdpa.rules.compat_names import has_helper, quoted_names
from xf2sdpa.rules.imports import is_wanted_as_it_is

ORDER = 85
CODES = {"XF141": "a guard around xformers becomes the flag set to what it stood for"}
_AVAILABLE = re.compile(r"xformers\w*(avail|found|there|works|import)|(has|have|is|got)_?(xformers|xops)")
"""What is called like this says whether xformers is there."""
_PASSABLE = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Try, ast.If, ast.Pass)
_EFFECTS = re.compile(
    r"environ\s*(\[[^]]*\]\s*=[^=]|\.\s*(setdefault|update|pop))|putenv|sys\s*\.\s*(path|modules)|chdir"
)
_WANTED = re.compile(r"xformers\w*enabled|use_?(xformers|xops)")
"""What is called like this may say as well whether a person wants it."""

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
from _attention_compat import memory_efficient_attention

ENABLED = os.environ.get("XFORMERS_DISABLED") is None
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
        node: the guard.
        condition: the switch under which it tries the import at all, as text; None if there is none.
        names: what the helper must bind, by the name used here.
        flags: variables set True when the import worked and False when not.
        settings: further statements that run when the import worked.
        fallbacks: statements that put something else in the place of what was not imported.
        nones: variables set to None instead.
        switched: those of them that stay, as being None says that the switch is off.
        kept: expressions whose text goes on.
    """

    node: GuardNode
    condition: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    flags: dict[str, None] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    nones: list[str] = field(default_factory=list)
    switched: list[str] = field(default_factory=list)
    kept: list[ast.AST] = field(default_factory=list)


class _NotAGuard(Exception):
    """The statement does something besides guarding imports of ours."""


def finish(file: FileDraft) -> None:
    """Resolve every guard whose imports the file can do without."""
    if not file.may_lose_imports or bars_helper(file) or not (file.migrated or file.compat_names):
        return
    names = file.names
    asking = [names.statement(node) for node in (*filter(is_lookup, names.calls), *_answered(file))]
    for statement in (*filter(brings_ours, names.imports), *asking):
        for guard in guards_around(names, statement):
            if id(guard) in file.gone or _resolve(file, guard):
                break


def _answered(file: FileDraft) -> Iterator[ast.expr]:
    """The questions about the installed release that were settled."""
    nodes = ast.walk(file.tree) if file.answers else ()
    return (node for node in nodes if isinstance(node, ast.expr) and id(node) in file.answers)


def _resolve(file: FileDraft, node: GuardNode) -> bool:
    """Put what a guard stands for in its place; whether that can be said."""
    try:
        found = _read(file, node)
    except _NotAGuard:
        return False
    file.compat_names.update(found.names)
    always = scope_of(file.names, node) is file.names.module and not guards_around(file.names, node)
    if always and not found.fallbacks:
        found.names.update(file.pending())
    file.bound_in_place.update(found.names)
    place = _import_above(file, found) if always and not found.fallbacks else None
    if always and found.condition is None:
        file.bind_at_top(found.names, place or node)
    if place is not None:
        file.edits.append(AddImport(import_line(file.compat or "", found.names), place))
        found.names = {}
    file.edits.append(ReplaceStatement(node, _written(file, found)))
    file.take_away(node)
    for part in found.kept:
        file.give_back(part)
    return True


def _import_above(file: FileDraft, guard: Guard) -> ast.stmt | None:
    """The last import above a guard, if the helper's import can stand below that one: with the others.

    None where nothing would be won, or where what lies between may matter to it: a path, an environment variable that
    torch reads, the names themselves.
    """
    above = file.tree.body[: file.tree.body.index(guard.node)]
    last = max((n for n, s in enumerate(above) if isinstance(s, ast.Import | ast.ImportFrom)), default=None)
    if last is None or not guard.names:
        return None
    between = [statement for statement in above[last + 1 :] if id(statement) not in file.gone]
    apart = bool(between) or not file.lines[guard.node.lineno - 2].strip()
    free = all(_lets_pass(file, statement, set(guard.names)) for statement in between)
    return above[last] if apart and free else None


def _lets_pass(file: FileDraft, statement: ast.stmt, names: set[str]) -> bool:
    """Whether an import may go to the other side of a statement."""
    parts = [part for part in ast.walk(statement) if isinstance(part, ast.stmt)]
    plain = all(isinstance(part, _PASSABLE) or is_message(part) or _is_text(part) for part in parts)
    bound = {alias_name(a) for s in parts if isinstance(s, ast.Import | ast.ImportFrom) for a in s.names}
    bound |= {part.id for part in ast.walk(statement) if isinstance(part, ast.Name)}
    return plain and not bound & (names | {"*"}) and not _EFFECTS.search(source_of(statement, file.lines))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_idle_lookup(file: FileDraft, statement: ast.stmt) -> bool:
    """A look-up whose answer nothing reads: only its failing mattered."""
    value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
    if not (isinstance(value, ast.Call) and is_lookup(value)):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return all(isinstance(t, ast.Name) and not _is_read(file, statement, t.id) for t in targets)


def _read(file: FileDraft, node: GuardNode) -> Guard:
    guard = Guard(node)
    if isinstance(node, ast.If):
        sure = _read_condition(file, node)
        _read_body(file, node.body, guard)
        _read_failure(file, node.orelse, guard)
        if not sure and (guard.flags or guard.settings):
            raise _NotAGuard  # imports may come without being asked for, a flag may not
        return guard
    if isinstance(node, ast.With):
        _read_body(file, node.body, guard)
        if guard.condition is not None:
            raise _NotAGuard
        return guard
    if node.finalbody:
        raise _NotAGuard
    _read_body(file, [*node.body, *node.orelse], guard)
    for handler in node.handlers:
        _read_failure(file, handler.body, guard)
    if guard.condition is not None and guard.settings:
        raise _NotAGuard
    if guard.condition is not None:  # whether it is None says whether the switch is set
        guard.switched = [name for name in guard.nones if _is_read(file, node, name)]
        if any(not _is_only_asked_for(file, node, name) for name in guard.switched):
            raise _NotAGuard
    return guard


def _is_only_asked_for(file: FileDraft, node: ast.stmt, name: str) -> bool:
    """Whether a variable is only compared with None."""
    loads = loads_of(file.names, name, scope_of(file.names, node))
    parents = [file.names.parents[id(load)] for load in loads if id(load) not in file.gone]
    compared = all(isinstance(p, ast.Compare) and isinstance(p.ops[0], ast.Is | ast.IsNot) for p in parents)
    return compared and name not in file.handed_on


def _is_read(file: FileDraft, node: ast.stmt, name: str) -> bool:
    loads = loads_of(file.names, name, scope_of(file.names, node))
    return name in file.handed_on or any(id(load) not in file.gone for load in loads)


def _read_condition(file: FileDraft, node: ast.If) -> bool:
    """Only a question whether xformers is there: `is_xformers_available()`, a flag that says so, a look-up.

    What a person chose (`args.xformers`, an environment variable) keeps its say; False where that is not certain.
    """
    test = node.test
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Call) and is_lookup(test.left):
        if isinstance(test.ops[0], ast.IsNot):
            return True
        raise _NotAGuard
    if isinstance(test, ast.Call) and is_lookup(test):
        return True
    word = called_name(test.func if isinstance(test, ast.Call) else test).lower()
    if isinstance(test, ast.Name) and _is_chosen(file, test):
        raise _NotAGuard
    if not (_AVAILABLE.search(word) or _WANTED.search(word)):
        raise _NotAGuard
    return _AVAILABLE.search(word) is not None


def _is_chosen(file: FileDraft, name: ast.Name) -> bool:
    """Whether an environment variable or an option has a say in a flag."""
    owner = file.names.scope_at[id(name)].owner(name.id)
    bindings = owner.bindings.get(name.id, ()) if owner else ()
    parts = (part for b in bindings if b.value is not None for part in ast.walk(b.value))
    words = {getattr(part, "attr", getattr(part, "id", "")) for part in parts}
    return bool(words & {"environ", "getenv", "args", "opts", "cmd_opts", "config", "cfg"})


def _read_body(file: FileDraft, statements: list[ast.stmt], guard: Guard) -> None:
    """What happens when the import works."""
    for statement in statements:
        if id(statement) in file.gone or is_message(statement) or isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _read_import(file, statement, guard)
        elif (flag := _constant(statement, True)) is not None:
            guard.flags[flag] = None
        elif isinstance(statement, ast.Assign):
            _read_setting(file, statement, guard)
        elif isinstance(statement, ast.If):
            _read_choice(file, statement, guard)
        elif isinstance(statement, ast.Try) and not statement.finalbody:
            _read_body(file, [*statement.body, *statement.orelse], guard)
        elif not _is_idle_lookup(file, statement):
            raise _NotAGuard


def _read_setting(file: FileDraft, statement: ast.Assign, guard: Guard) -> None:
    """An assignment that cannot fail goes on as it is, with a question in it answered."""
    if _is_idle_lookup(file, statement):
        return
    targets = all(isinstance(target, ast.Name) for target in statement.targets)
    answer = file.answers.get(id(statement.value))
    if not targets or (answer is None and not _cannot_fail(file, statement.value)):
        raise _NotAGuard
    value = source_of(statement.value, file.lines) if answer is None else str(answer)
    left = [target.id for target in statement.targets if isinstance(target, ast.Name)]
    for name in left if answer is not None else ():
        guard.flags.pop(name, None)
    if answer is not None and all(_is_known_already(file, statement, name, answer) for name in left):
        return
    guard.settings.append(" = ".join([*left, value]))
    if answer is None:
        guard.kept.append(statement)


def _cannot_fail(file: FileDraft, value: ast.expr) -> bool:
    """A constant, a name or an attribute of a module, none of ours: nothing that runs code."""
    first = first_name(value)
    if isinstance(first, ast.Name):
        scope = file.names.scope_at[id(first)]
        return not any(is_ours(dotted) for dotted in file.names.could_be(first.id, scope))
    return isinstance(first, ast.Constant)


def _is_known_already(file: FileDraft, statement: ast.stmt, name: str, value: bool) -> bool:
    """Whether a variable has an answer's value in any case."""
    bindings = scope_of(file.names, statement).bindings.get(name, ())
    others = [binding.value for binding in bindings if binding.node is not statement]
    return bool(others) and all(isinstance(other, ast.Constant) and other.value is value for other in others)


def _read_choice(file: FileDraft, statement: ast.If, guard: Guard) -> None:
    """A branch on a settled question, or a switch."""
    answer = file.answers.get(id(statement.test))
    if answer is not None:
        _read_body(file, statement.body if answer else statement.orelse, guard)
    elif guard.condition is None:
        _read_switch(file, statement, guard)
    else:
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


def _read_import(file: FileDraft, statement: ImportNode, guard: Guard) -> None:
    inside = {id(node) for node in ast.walk(guard.node)}
    if isinstance(scope_of(file.names, statement).node, ast.ClassDef):
        raise _NotAGuard  # an attribute, which anybody may read
    for alias in statement.names:
        dotted, name = whole_name(statement, alias), bound_name(statement, alias)
        if not is_ours(dotted) or name == "*":
            raise _NotAGuard
        loads = loads_from(file.names, statement, name)
        needed = name in file.handed_on or any(id(load) not in file.gone | inside for load in loads)
        quoted = name in quoted_names(file)
        api = api_name(dotted)
        if needed and not quoted and guard.condition is not None and _is_only_asked_for(file, guard.node, name):
            continue  # `_read` sees to it
        needed |= quoted
        if needed and (isinstance(statement, ast.Import) or not has_helper(file, api)):
            raise _NotAGuard
        if is_wanted_as_it_is(file, statement, name):
            raise _NotAGuard
        if needed and api is not None:
            guard.names[name] = api


def _read_failure(file: FileDraft, statements: list[ast.stmt], guard: Guard) -> None:
    """What happens without xformers: flags, `xops = None`, fallbacks, messages."""
    for statement in statements:
        if (flag := _constant(statement, False)) is not None:
            if not any(setting.startswith(f"{flag} = ") for setting in guard.settings):
                guard.flags[flag] = None
        elif (name := _constant(statement, None)) is not None:
            guard.nones.append(name)
        elif is_message(statement):
            continue
        elif isinstance(statement, ast.Assign):
            guard.fallbacks.append(source_of(statement, file.lines))
            guard.kept.append(statement.value)
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
    if imports and not (guard.fallbacks and guard.condition is not None) and (guard.flags or guard.settings):
        imports.append("")  # as formatters have it
    if guard.condition is None or not (guard.names or guard.flags or guard.switched):
        return "\n".join([*imports, *(f"{flag} = True" for flag in guard.flags), *guard.settings])
    if not guard.fallbacks:
        asked = (f"{name} = True if {_bare(guard.condition)} else None" for name in guard.switched)
        return "\n".join([*imports, *(f"{flag} = {guard.condition}" for flag in guard.flags), *asked])
    works = [*imports, *(f"{flag} = True" for flag in guard.flags)] or ["pass"]
    fails = [*(f"{flag} = False" for flag in guard.flags), *guard.fallbacks]
    indented = [f"if {_bare(guard.condition)}:", *_indent(works), "else:", *_indent(fails)]
    return "\n".join(indented)


def _bare(condition: str) -> str:
    """A condition for a place where only its truth matters."""
    return condition.removeprefix("bool(").removesuffix(")") if condition.startswith("bool(") else condition


def _indent(statements: list[str]) -> list[str]:
    return [f"    {line}" for statement in statements for line in statement.splitlines()]
