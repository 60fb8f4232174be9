"""What a guard around an import of xformers stands for: flags, settings, names, fallbacks.

A guard is a `try`, an `if` or a `with` around the import. Reading it gives plain data; `NotAGuard` says that it does
more than can be put into other words.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.imports import (
    GuardNode,
    ImportNode,
    bound_name,
    brings_ours,
    is_lookup,
    is_message,
    loads_from,
    scope_of,
    whole_name,
)
from xf2sdpa.analysis.masks import is_boolean, negation
from xf2sdpa.analysis.names import called_name, first_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import has_helper
from xf2sdpa.rulekit.quoted import is_quoted
from xf2sdpa.rulekit.readers import is_named
from xf2sdpa.rulekit.spelling import import_line

_AVAILABLE = re.compile(r"xformers\w*(avail|found|there|works|import)|(has|have|is|got)_?(xformers|xops)")
"""What is called like this says whether xformers is there."""
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


class NotAGuard(Exception):
    """The statement does something besides guarding imports of ours."""


def _is_idle_lookup(file: FileDraft, statement: ast.stmt) -> bool:
    """A look-up whose answer nothing reads: only its failing mattered."""
    value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
    if isinstance(statement, ast.Expr) and isinstance(value, ast.Name):
        return is_ours(file.names.resolve(value))  # a NameError would say that it is not there
    if not (isinstance(value, ast.Call) and is_lookup(value)):
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
    _read_body(file, [*node.body, *node.orelse], guard)
    for handler in node.handlers:
        _read_failure(file, handler.body, guard)
    if guard.condition is not None and guard.settings:
        raise NotAGuard
    if guard.condition is not None:  # whether it is None says whether the switch is set
        guard.switched = [name for name in guard.nones if file.is_read(name, node)]
        if any(not _is_only_asked_for(file, node, name) for name in guard.switched):
            raise NotAGuard
    return guard


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
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Call) and is_lookup(test.left):
        if isinstance(test.ops[0], ast.IsNot):
            return True
        raise NotAGuard
    if isinstance(test, ast.Call) and is_lookup(test):
        return True
    word = called_name(test.func if isinstance(test, ast.Call) else test).lower()
    if isinstance(test, ast.Name) and _is_chosen(file, test):
        raise NotAGuard
    if not (_AVAILABLE.search(word) or _WANTED.search(word)):
        raise NotAGuard
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
        if file.is_gone(statement) or is_message(statement) or isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _read_import(file, statement, guard)
        elif isinstance(statement, ast.Delete) and _deletes_imports(guard, statement):
            continue  # what the guard does not import needs no deleting
        elif (flag := _constant(statement, True)) is not None:
            guard.flags[flag] = None
        elif isinstance(statement, ast.Assign):
            _read_setting(file, statement, guard)
        elif isinstance(statement, ast.If):
            _read_choice(file, statement, guard)
        elif isinstance(statement, ast.Try) and not statement.finalbody:
            _read_body(file, [*statement.body, *statement.orelse], guard)
        elif not _is_idle_lookup(file, statement):
            raise NotAGuard


def _deletes_imports(guard: Guard, statement: ast.Delete) -> bool:
    """Whether a `del` is about nothing but names that the guard imports from xformers."""
    imports = (s for s in ast.walk(guard.node) if isinstance(s, ast.Import | ast.ImportFrom) and brings_ours(s))
    ours = {bound_name(s, alias) for s in imports for alias in s.names}
    return all(isinstance(target, ast.Name) and target.id in ours for target in statement.targets)


def _read_setting(file: FileDraft, statement: ast.Assign, guard: Guard) -> None:
    """An assignment that cannot fail goes on as it is, with a question in it answered."""
    if _is_idle_lookup(file, statement):
        return
    targets = all(isinstance(target, ast.Name) for target in statement.targets)
    answer = file.answers.get(id(statement.value))
    if not targets or (answer is None and not _cannot_fail(file, statement.value)):
        raise NotAGuard
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
        raise NotAGuard


def _read_switch(file: FileDraft, statement: ast.If, guard: Guard) -> None:
    """`if ENABLED: import … else: raise ImportError`, or the other way round."""
    if _gives_up(statement.orelse, guard.node):
        guard.kept.append(statement.test)
        guard.condition, body = source_of(statement.test, file.lines), statement.body
        if not is_boolean(statement.test) and not isinstance(statement.test, ast.Name):
            guard.condition = f"bool({guard.condition})"
    elif _gives_up(statement.body, guard.node):
        guard.kept.append(statement.test)
        guard.condition, body = negation(statement.test, file.lines), statement.orelse
    else:
        raise NotAGuard
    _read_body(file, body, guard)


def _gives_up(statements: list[ast.stmt], guard: GuardNode) -> bool:
    """Whether statements end with an error that a guard's handler catches; another one would stop the program."""
    last = statements[-1] if statements else None
    if not isinstance(last, ast.Raise) or last.exc is None or not isinstance(guard, ast.Try):
        return False
    raised = called_name(last.exc.func if isinstance(last.exc, ast.Call) else last.exc)
    return _catches(guard, raised) and all(is_message(statement) for statement in statements[:-1])


def _catches(guard: ast.Try, raised: str) -> bool:
    """Whether the first handler that may catch an error of some name surely does."""
    wider = {raised, "Exception", "BaseException"} | ({"ImportError"} if raised == "ModuleNotFoundError" else set())
    given = [handler.type for handler in guard.handlers]
    kinds = [kind for one in given for kind in (one.elts if isinstance(one, ast.Tuple) else [one])]
    return any(kind is None or called_name(kind) in wider for kind in kinds)


def _read_import(file: FileDraft, statement: ImportNode, guard: Guard) -> None:
    inside = {id(node) for node in ast.walk(guard.node)}
    if isinstance(scope_of(file.names, statement).node, ast.ClassDef):
        raise NotAGuard  # an attribute, which anybody may read
    for alias in statement.names:
        dotted, name = whole_name(statement, alias), bound_name(statement, alias)
        if not is_ours(dotted) or name == "*":
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
            raise NotAGuard


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
    by_condition = guard.condition is not None and bool(guard.names or guard.flags or guard.switched)
    if by_condition and guard.fallbacks:
        return _either_way(guard, imports)
    if imports and (guard.flags or guard.settings):
        imports.append("")  # as formatters have it
    if not by_condition:
        return "\n".join([*imports, *(f"{flag} = True" for flag in guard.flags), *guard.settings])
    asked = (f"{name} = True if {_bare(guard.condition or '')} else None" for name in guard.switched)
    return "\n".join([*imports, *(f"{flag} = {guard.condition}" for flag in guard.flags), *asked])


def _either_way(guard: Guard, imports: list[str]) -> str:
    """An `if` on the condition, with what works in one arm and the fallbacks in the other."""
    works = [*imports, *(f"{flag} = True" for flag in guard.flags)] or ["pass"]
    fails = [*(f"{flag} = False" for flag in guard.flags), *guard.fallbacks]
    return "\n".join([f"if {_bare(guard.condition or '')}:", *_indent(works), "else:", *_indent(fails)])


def _bare(condition: str) -> str:
    """A condition for a place where only its truth matters."""
    return condition.removeprefix("bool(").removesuffix(")") if condition.startswith("bool(") else condition


def _indent(statements: list[str]) -> list[str]:
    return [f"    {line}" for statement in statements for line in statement.splitlines()]
