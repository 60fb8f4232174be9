"""What a guard around an import of xformers stands for: flags, settings, names, fallbacks.

A guard is a `try`, an `if` or a `with` around the import. Reading it gives plain data; `NotAGuard` says that it does
more than can be put into other words.
"""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import NEVER_RELEASED, api_name, is_ours
from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.analysis.imports import (
    GuardNode,
    ImportNode,
    bound_name,
    brings_ours,
    is_message,
    loads_from,
    makes_words,
    scope_of,
    whole_name,
)
from xf2sdpa.analysis.lookups import looks_up
from xf2sdpa.analysis.masks import is_boolean, negation
from xf2sdpa.analysis.names import called_name, first_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.edits.kinds import ReplaceExpression
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import has_helper
from xf2sdpa.rulekit.messages import only_tells
from xf2sdpa.rulekit.quoted import is_quoted
from xf2sdpa.rulekit.readers import is_named
from xf2sdpa.rulekit.spelling import import_line
from xf2sdpa.rulekit.where_flags_come_from import AVAILABLE, does_more, only_asks

_NOT_FOUND = frozenset({"PackageNotFoundError", "DistributionNotFound"})
_WANTED = re.compile(r"xformers\w*enabled|use_?(xformers|xops)")
"""What is called like this may say as well whether a person wants it."""


@dataclass
class Guard:
    """What a guard does, apart from messages.

    Attributes:
        node: the guard.
        condition: the switch under which it tries the import at all, as text; None if there is none.
        names: what the helper must bind, by the name used here.
        flags: variables set True when the import worked and False when not.
        works: what runs when the import worked, flags and settings, in its order.
        settings: those of them that set no flag.
        off: the handler that the switch leads to.
        tests: the switch as it was asked for.
        fallbacks: statements that put something else in the place of what was not imported.
        nones: variables set to None instead.
        switched: those of them that stay, as being None says that the switch is off.
        kept: expressions whose text goes on.
    """

    node: GuardNode
    condition: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    flags: dict[str, None] = field(default_factory=dict)
    works: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    off: ast.ExceptHandler | None = None
    tests: list[ast.expr] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    nones: list[str] = field(default_factory=list)
    switched: list[str] = field(default_factory=list)
    kept: list[ast.AST] = field(default_factory=list)


class NotAGuard(Exception):
    """The statement does something besides guarding imports of ours."""


def _is_idle_lookup(file: FileDraft, statement: ast.stmt) -> bool:
    """A look-up whose answer nothing reads: only its failing mattered."""
    value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
    if isinstance(statement, ast.Expr) and isinstance(value, ast.Name):
        return is_ours(file.names.resolve(value))  # a NameError would say that it is not there
    if not (isinstance(value, ast.Call) and looks_up(file.names, value)):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return all(isinstance(t, ast.Name) and not file.is_read(t.id, statement) for t in targets)


def read_guard(file: FileDraft, node: GuardNode) -> Guard:
    """What a guard stands for.

    Raises:
        NotAGuard: it does more than choose whether xformers is used.
    """
    guard = Guard(node)
    if isinstance(node, ast.If):
        sure = _read_condition(file, node)
        _read_body(file, node.body, guard)
        _read_failure(file, node.orelse, guard)
        if not sure and (guard.flags or guard.settings):
            raise NotAGuard  # imports may come without being asked for, a flag may not
        return guard
    if isinstance(node, ast.With):
        _read_body(file, node.body, guard)
        return guard
    if node.finalbody:
        raise NotAGuard
    _read_body(file, node.body, guard, node)
    _read_body(file, node.orelse, guard)
    for handler in node.handlers:  # with a switch, the others never run: the import does not fail any more
        _read_failure(file, handler.body, guard if guard.off in (None, handler) else Guard(node))
    if guard.condition is not None:  # whether it is None says whether the switch is set
        _settle_switch(file, guard)
        guard.switched = [name for name in guard.nones if file.is_read(name, node)]
        if any(not _is_only_asked_for(file, node, name) for name in guard.switched):
            raise NotAGuard
        times = 1 if guard.fallbacks else len(guard.flags) + len(guard.switched)
        if times != 1 and not all(map(makes_words, guard.tests)):
            raise NotAGuard  # it is asked once, as asking may do something
    return guard


def _settle_switch(file: FileDraft, guard: Guard) -> None:
    """Hold both arms of a switch against one another: a flag that only one sets must have had the other value before.

    Raises:
        NotAGuard: one word for both arms says too little.
    """
    assert guard.off is not None
    if guard.settings or any(isinstance(statement, ast.Raise) for statement in guard.off.body):
        raise NotAGuard
    error = guard.off.name
    if any(isinstance(part, ast.Name) and part.id == error for kept in guard.kept for part in ast.walk(kept)):
        raise NotAGuard
    off = {name for statement in guard.off.body if (name := _constant(statement, False)) is not None}
    for name in guard.flags:
        on = f"{name} = True" in guard.works
        if not (on and name in off) and not _is_otherwise(file, guard.node, name, not on):
            raise NotAGuard


def _is_otherwise(file: FileDraft, node: ast.stmt, name: str, value: bool) -> bool:
    """Whether a variable holds some constant where a guard does not set it."""
    inside = {id(part) for part in ast.walk(node)}
    bindings = scope_of(file.names, node).bindings.get(name, ())
    others = [binding.value for binding in bindings if id(binding.node) not in inside]
    return bool(others) and all(isinstance(other, ast.Constant) and other.value is value for other in others)


def _is_only_asked_for(file: FileDraft, node: ast.stmt, name: str) -> bool:
    """Whether a variable is only compared with None."""
    parents = [file.names.parents[id(load)] for load in file.readers(name, scope_of(file.names, node))]
    compared = all(isinstance(p, ast.Compare) and isinstance(p.ops[0], ast.Is | ast.IsNot) for p in parents)
    return compared and name not in file.handed_on


def _read_condition(file: FileDraft, node: ast.If) -> bool:
    """Only a question whether xformers is there: `is_xformers_available()`, a flag that says so, a look-up.

    What a person chose (`args.xformers`, an environment variable) keeps its say; False where that is not certain.
    """
    test = node.test
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Call) and looks_up(file.names, test.left):
        if isinstance(test.ops[0], ast.IsNot):
            return True
        raise NotAGuard
    if isinstance(test, ast.Call) and looks_up(file.names, test):
        return True
    word = called_name(test.func if isinstance(test, ast.Call) else test).lower()
    if (isinstance(test, ast.Name) and _is_chosen(file, test)) or does_more(file, test):
        raise NotAGuard
    if not (AVAILABLE.search(word) or _WANTED.search(word)):
        raise NotAGuard
    return AVAILABLE.search(word) is not None and only_asks(file, test)


def _is_chosen(file: FileDraft, name: ast.Name) -> bool:
    """Whether an environment variable or an option has a say in a flag."""
    owner = file.names.scope_at[id(name)].owner(name.id)
    bindings = owner.bindings.get(name.id, ()) if owner else ()
    parts = (part for b in bindings if b.value is not None for part in ast.walk(b.value))
    words = {getattr(part, "attr", getattr(part, "id", "")) for part in parts}
    return bool(words & {"environ", "getenv", "args", "opts", "cmd_opts", "config", "cfg"})


def _read_body(file: FileDraft, statements: list[ast.stmt], guard: Guard, catching: ast.Try | None = None) -> None:
    """What happens when the import works; `catching` is the guard where its handlers catch what is raised here."""
    for statement in statements:
        if file.is_gone(statement) or only_tells(file, statement) or isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _read_import(file, statement, guard)
        elif isinstance(statement, ast.Delete) and _deletes_imports(guard, statement):
            continue  # what the guard does not import needs no deleting
        elif (flag := _constant(statement, True)) is not None:
            guard.flags[flag] = None
            guard.works.append(f"{flag} = True")
        elif isinstance(statement, ast.Assign):
            _read_setting(file, statement, guard)
        elif isinstance(statement, ast.If):
            _read_choice(file, statement, guard, catching)
        elif isinstance(statement, ast.Try) and not statement.finalbody:
            _read_body(file, statement.body, guard)
            _read_body(file, statement.orelse, guard, catching)
        elif not _is_idle_lookup(file, statement):
            raise NotAGuard


def _deletes_imports(guard: Guard, statement: ast.Delete) -> bool:
    """Whether a `del` is about nothing but names that the guard imports from xformers."""
    imports = (s for s in ast.walk(guard.node) if isinstance(s, ast.Import | ast.ImportFrom) and brings_ours(s))
    ours = {bound_name(s, alias) for s in imports for alias in s.names}
    return all(isinstance(target, ast.Name) and target.id in ours for target in statement.targets)


def _read_setting(file: FileDraft, statement: ast.Assign, guard: Guard) -> None:
    """An assignment that cannot fail goes on as it is, with a question in it answered."""
    told = next((e for e in file.edits if isinstance(e, ReplaceExpression) and e.node is statement.value), None)
    if told is not None and id(statement.value) not in file.answers:
        guard.settings.append(" = ".join([*(source_of(target, file.lines) for target in statement.targets), told.text]))
        guard.works.append(guard.settings[-1])
        return
    if _is_idle_lookup(file, statement):
        return
    targets = all(isinstance(target, ast.Name) for target in statement.targets)
    answer = file.answers.get(id(statement.value))
    if not targets or (answer is None and not _cannot_fail(file, statement.value, guard.node)):
        raise NotAGuard
    value = source_of(statement.value, file.lines) if answer is None else str(answer)
    left = [target.id for target in statement.targets if isinstance(target, ast.Name)]
    for name in left if answer is not None else ():
        guard.flags.pop(name, None)
        guard.works = [line for line in guard.works if line != f"{name} = True"]
    if answer is not None and all(_is_known_already(file, statement, name, answer) for name in left):
        return
    guard.settings.append(" = ".join([*left, value]))
    guard.works.append(guard.settings[-1])
    if answer is None:
        guard.kept.append(statement)


def _cannot_fail(file: FileDraft, value: ast.expr, node: GuardNode) -> bool:
    """A constant, a name or an attribute of a module, none of ours: nothing that runs code.

    Whether a module has the attribute may be what the guard finds out: `except (ImportError, AttributeError)`.
    """
    first = first_name(value)
    if isinstance(first, ast.Name):
        scope = file.names.scope_at[id(first)]
        if any(_may_catch(node, error) for error in (AttributeError, NameError)) and (
            first is not value or scope.owner(first.id) is None
        ):
            return False
        return not any(is_ours(dotted) for dotted in file.names.could_be(first.id, scope))
    return isinstance(first, ast.Constant)


def _is_known_already(file: FileDraft, statement: ast.stmt, name: str, value: bool) -> bool:
    """Whether a variable has an answer's value in any case."""
    bindings = scope_of(file.names, statement).bindings.get(name, ())
    others = [binding.value for binding in bindings if binding.node is not statement]
    return bool(others) and all(isinstance(other, ast.Constant) and other.value is value for other in others)


def _may_catch(node: GuardNode, error: type[Exception]) -> bool:
    """Whether a handler in a guard may catch an error of some kind; one with a name of its own may."""
    tries = (part for part in ast.walk(node) if isinstance(part, ast.Try))
    kinds = [kind for one in tries for handler in one.handlers for kind in _kinds(handler)]
    if isinstance(node, ast.With):
        kinds += [a for item in node.items if isinstance(c := item.context_expr, ast.Call) for a in c.args]
    return any(not (name := _caught_name(kind)) or _relation(error.__name__, name) is not False for kind in kinds)


def _kinds(handler: ast.ExceptHandler) -> list[ast.expr | None]:
    """The exceptions that a handler catches; None is any."""
    return [*handler.type.elts] if isinstance(handler.type, ast.Tuple) else [handler.type]


def _caught_name(kind: ast.expr | None) -> str:
    return "BaseException" if kind is None else called_name(kind)


def _relation(raised: str, caught: str) -> bool | None:
    """Whether who catches one exception catches another, by their names; None if that is not known."""
    if raised == caught or caught in ("Exception", "BaseException"):
        return True
    known = {name: found for name in (raised, caught) if isinstance(found := _error(name), type)}
    if len(known) < 2:
        return None
    return issubclass(known[raised], known[caught])


def _error(name: str) -> type | None:
    """The exception class of that name: Python's own, or ModuleNotFoundError for those that look-ups raise."""
    found = getattr(builtins, "ModuleNotFoundError" if name in _NOT_FOUND else name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _read_choice(file: FileDraft, statement: ast.If, guard: Guard, catching: ast.Try | None) -> None:
    """A branch on a settled question, or a switch."""
    answer = file.answers.get(id(statement.test))
    if answer is not None:
        _read_body(file, statement.body if answer else statement.orelse, guard, catching)
    elif guard.condition is None and not guard.works and catching is not None:
        _read_switch(file, statement, guard, catching)
    else:  # what is set before it stays set, whichever way it goes
        raise NotAGuard


def _read_switch(file: FileDraft, statement: ast.If, guard: Guard, catching: ast.Try) -> None:
    """`if ENABLED: import … else: raise ImportError`, or the other way round."""
    if (off := _gives_up(file, statement.orelse, catching)) is not None:
        guard.kept.append(statement.test)
        guard.tests.append(statement.test)
        guard.condition, body = source_of(statement.test, file.lines), statement.body
        if not is_boolean(statement.test) and not isinstance(statement.test, ast.Name):
            guard.condition = f"bool({guard.condition})"
    elif (off := _gives_up(file, statement.body, catching)) is not None:
        guard.kept.append(statement.test)
        guard.tests.append(statement.test)
        guard.condition, body = negation(statement.test, file.lines), statement.orelse
    else:
        raise NotAGuard
    guard.off = off
    _read_body(file, body, guard, catching)


def _gives_up(file: FileDraft, statements: list[ast.stmt], guard: ast.Try) -> ast.ExceptHandler | None:
    """The handler of a guard that catches the error with which statements end; None if none is known to."""
    last = statements[-1] if statements else None
    if not isinstance(last, ast.Raise) or last.exc is None or not all(only_tells(file, s) for s in statements[:-1]):
        return None
    raised = called_name(last.exc.func if isinstance(last.exc, ast.Call) else last.exc)
    for handler in guard.handlers:
        caught = [_relation(raised, _caught_name(kind)) for kind in _kinds(handler)]
        if any(caught):
            return handler
        if None in caught:
            return None
    return None


def _read_import(file: FileDraft, statement: ImportNode, guard: Guard) -> None:
    inside = {id(node) for node in ast.walk(guard.node)}
    if isinstance(scope_of(file.names, statement).node, ast.ClassDef):
        raise NotAGuard  # an attribute, which anybody may read
    for alias in statement.names:
        dotted, name = whole_name(statement, alias), bound_name(statement, alias)
        if not is_ours(dotted) or name == "*" or dotted in NEVER_RELEASED:
            raise NotAGuard
        loads = loads_from(file.names, statement, name)
        needed = name in file.handed_on or any(id(load) not in inside and not file.is_gone(load) for load in loads)
        quoted = is_quoted(file, name) or is_named(file, name)
        api = api_name(dotted)
        if needed and not quoted and guard.condition is not None and _is_only_asked_for(file, guard.node, name):
            continue  # `read_guard` sees to it
        needed |= quoted
        if needed and (isinstance(statement, ast.Import) or not has_helper(file, api)):
            raise NotAGuard
        deletions = file.names.deletions.get(name, ())
        if file.is_needed_as_it_is(statement, name) or any(id(node) not in inside for node in deletions):
            raise NotAGuard
        if needed and api is not None:
            guard.names[name] = api


def _read_failure(file: FileDraft, statements: list[ast.stmt], guard: Guard) -> None:
    """What happens without xformers: flags, `xops = None`, fallbacks, messages."""
    for statement in statements:
        if (flag := _constant(statement, False)) is not None:
            if guard.off is not None and not any(s.startswith(f"{flag} = ") for s in guard.settings):
                guard.flags[flag] = None
        elif (name := _constant(statement, None)) is not None:
            guard.nones.append(name)
        elif only_tells(file, statement) or (guard.off is None and is_message(statement)):
            continue
        elif isinstance(statement, ast.Assign):
            if guard.off is not None and is_idle(statement.value) and not _is_read_later(file, statement):
                continue
            guard.fallbacks.append(source_of(statement, file.lines))
            guard.kept.append(statement.value)
        elif not isinstance(statement, ast.Pass | ast.Raise):
            raise NotAGuard


def _is_read_later(file: FileDraft, statement: ast.Assign) -> bool:
    """Whether something reads what an assignment binds; what is stored elsewhere may be."""
    names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return len(names) < len(statement.targets) or any(file.is_read(name, statement) for name in names)


def _constant(statement: ast.stmt, value: object) -> str | None:
    """The variable that a statement sets to a constant."""
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return None
    target = statement.targets[0]
    same = isinstance(statement.value, ast.Constant) and statement.value.value is value
    return target.id if same and isinstance(target, ast.Name) else None


def written(guard: Guard, helper: str) -> str:
    """The statements that a guard becomes; nothing, if nothing of it is needed.

    Args:
        guard: what was read of it.
        helper: the module that the file imports the helper by.
    """
    imports = [import_line(helper, guard.names)] if guard.names else []
    kept = guard.names or guard.flags or guard.switched or guard.fallbacks
    by_condition = guard.condition is not None and bool(kept)
    if by_condition and guard.fallbacks:
        return _either_way(guard, imports)
    if imports and guard.works:
        imports.append("")  # as formatters have it
    if not by_condition:
        return "\n".join([*imports, *guard.works])
    asked = (f"{name} = True if {_bare(guard.condition or '')} else None" for name in guard.switched)
    return "\n".join([*imports, *(f"{flag} = {guard.condition}" for flag in guard.flags), *asked])


def _either_way(guard: Guard, imports: list[str]) -> str:
    """An `if` on the condition, with what works in one arm and the fallbacks in the other."""
    works = [*imports, *(f"{flag} = True" for flag in guard.flags), *(f"{name} = True" for name in guard.switched)]
    fails = [
        *(f"{flag} = False" for flag in guard.flags),
        *(f"{name} = None" for name in guard.switched),
        *guard.fallbacks,
    ]
    condition = _bare(guard.condition or "")
    if not works:
        return "\n".join([f"if not ({condition}):", *_indent(fails)])
    return "\n".join([f"if {condition}:", *_indent(works), "else:", *_indent(fails)])


def _bare(condition: str) -> str:
    """A condition for a place where only its truth matters."""
    return condition.removeprefix("bool(").removesuffix(")") if condition.startswith("bool(") else condition


def _indent(statements: list[str]) -> list[str]:
    return [f"    {line}" for statement in statements for line in statement.splitlines()]
