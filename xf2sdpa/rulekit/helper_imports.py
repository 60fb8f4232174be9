"""The helper's import: which names a file takes from it, and where the line that brings them stands."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Collection, Sequence

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.imports import (
    ImportNode,
    alias_name,
    bound_name,
    brings_ours,
    is_message,
    outermost_guard,
    scope_of,
    whole_name,
)
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import has_helper
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.spelling import import_line
from xf2sdpa.rulekit.unused import is_unused

_PASSABLE = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Try, ast.If, ast.Pass)
_EFFECTS = re.compile(
    r"environ\s*(\[[^]]*\]\s*=[^=]|\.\s*(setdefault|update|pop))|putenv|sys\s*\.\s*(path|modules)|chdir"
)


def gather(file: FileDraft, statements: Sequence[ImportNode]) -> None:
    """Merge the imports at the top of the file that become the helper's into the first of them."""
    if not file.may_lose_imports or bars_helper(file):
        return
    for statement in statements:
        free = not file.is_gone(statement) and outermost_guard(file.names, statement) is None
        if free and brings_ours(statement) and scope_of(file.names, statement) is file.names.module:
            found = _helped(file, statement)
            file.gathered.update({name: api for name, api in found.items() if _is_bound_by_imports(file, name)})
        elif free and brings_ours(statement):
            file.gathered.update(_repeated(file, statement))


def _is_bound_by_imports(file: FileDraft, name: str) -> bool:
    """Whether only imports of ours give the module a name; a default between two would take it from the first."""
    return all(is_ours(binding.dotted) for binding in file.names.module.bindings[name])


def _helped(file: FileDraft, statement: ImportNode) -> dict[str, str]:
    """The names of an import that the helper has and something reads, by what they are called here."""
    found = {}
    for alias in statement.names if isinstance(statement, ast.ImportFrom) else ():
        name, api = bound_name(statement, alias), api_name(whole_name(statement, alias))
        helps = has_helper(file, api) and not file.is_needed_as_it_is(statement, name)
        if helps and not is_unused(file, statement, alias):
            found[name] = api or ""
    return found


def hoisted(file: FileDraft, statement: ImportNode, code: str) -> bool:
    """Drop an import in a function that other functions of the file repeat; one at the top brings its names for all."""
    served = _repeated(file, statement)
    if not served or not file.drop(statement, code):
        return False
    file.compat_names.update(served)
    return True


def _repeated(file: FileDraft, statement: ImportNode) -> dict[str, str]:
    """What an import brings from the helper, if it does no more, and several functions import the same."""
    served = _helped(file, statement)
    others = [alias for alias in statement.names if bound_name(statement, alias) not in served]
    more = not all(is_unused(file, statement, alias) for alias in others)
    return {} if more or not all(_is_repeated(file, statement, *names) for names in served.items()) else served


def _is_repeated(file: FileDraft, statement: ImportNode, name: str, api: str) -> bool:
    """Whether several functions import a name from the API, and it means nothing else in, around or above them."""
    own = scope_of(file.names, statement)
    if not isinstance(own.node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    scopes = [scope for scope in file.names.scopes.values() if name in scope.bindings]
    of_api = all(api_name(binding.dotted) == api for scope in scopes for binding in scope.bindings[name])
    above = (scope.parent is not None and scope.parent.owner(name) not in (None, file.names.module) for scope in scopes)
    bare = all(outermost_guard(file.names, s) is None for s in file.names.imports if _binds(s, name))
    return of_api and len(scopes) > 1 and bare and not any(above) and not own.elsewhere


def _binds(statement: ImportNode, name: str) -> bool:
    return any(bound_name(statement, alias) == name for alias in statement.names)


def from_helper(
    file: FileDraft, statement: ImportNode, unused: Collection[str], code: str, *, pending: bool = True
) -> bool:
    """Turn an import of names that the helper has into one from the helper; what it has not stays.

    Args:
        file: the file.
        statement: the import.
        unused: names of it that nothing needs.
        code: what the edit is reported under.
        pending: whether it may bring what other places of the file need as well.
    """
    served = _helped(file, statement)
    here = pending and scope_of(file.names, statement) is file.names.module
    wanted = {**file.gathered, **file.compat_names, **served}
    helped = {name: api for name, api in wanted.items() if name not in file.bound_in_place} if here else served
    if not (helped or served):
        return False
    left = (alias for alias in statement.names if alias_name(alias) not in unused)
    kept = [alias for alias in left if bound_name(statement, alias) not in served]
    place = _place_beside(file, statement, helped) if here and helped else None
    lines = [_import_of(statement, kept)] if kept else []
    line = import_line(file.compat or "", helped)
    lines += [line] if helped and place is None else []
    if not file.replace(statement, "\n".join(lines), code, keeping=kept):
        return False
    if place is not None:
        file.add_import(line, place)
    file.compat_names.update(served)
    file.bound_in_place.update(helped)
    if here:
        file.bind_at_top(helped, place or statement)
        file.gathered.clear()
    return True


def _place_beside(file: FileDraft, statement: ImportNode, helped: dict[str, str]) -> ast.stmt | None:
    """The import after which the helper's is to stand, if not in the place of an old one.

    A relative one goes behind absolute ones, beside other relative ones; a comment for type checkers stays behind.
    """
    body = file.tree.body
    if statement not in body:
        return None
    imports = (ast.Import, ast.ImportFrom)
    run = list(itertools.takewhile(lambda s: isinstance(s, imports), body[body.index(statement) + 1 :]))
    theirs = [s for s in run if isinstance(s, imports) and not brings_ours(s)]
    relative = [s for s in theirs if isinstance(s, ast.ImportFrom) and s.level]
    clear = not file.handed_on & set(helped)  # who imports this file in a circle finds them bound early
    clear &= not any(bound_name(s, alias) in {*helped, "*"} for s in theirs for alias in s.names)
    if (file.compat or "").startswith(".") and len(relative) < len(theirs) and clear:
        return (relative or theirs)[-1]
    ignored = "ignore" in file.lines[(statement.end_lineno or statement.lineno) - 1].partition("#")[2]
    return statement if ignored else None


def _import_of(statement: ImportNode, kept: list[ast.alias]) -> str:
    if isinstance(statement, ast.ImportFrom):
        return ast.unparse(ast.ImportFrom(statement.module, kept, statement.level))
    return ast.unparse(ast.Import(kept))


def import_above(file: FileDraft, guard: ast.stmt, names: Collection[str]) -> ast.stmt | None:
    """The last import above a guard, if the helper's import can stand right below it, among the others.

    None where nothing would be won, or where what lies between may matter to it: a path, an environment variable that
    torch reads, the names themselves.
    """
    above = file.tree.body[: file.tree.body.index(guard)]
    last = max((n for n, s in enumerate(above) if isinstance(s, ast.Import | ast.ImportFrom)), default=None)
    if last is None or not names:
        return None
    between = [statement for statement in above[last + 1 :] if not file.is_gone(statement)]
    apart = bool(between) or not file.lines[guard.lineno - 2].strip()
    free = all(_lets_pass(file, statement, set(names)) for statement in between)
    return above[last] if apart and free else None


def _lets_pass(file: FileDraft, statement: ast.stmt, names: set[str]) -> bool:
    """Whether an import may move past a statement."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):  # its body runs later
        return not statement.decorator_list and statement.name not in names
    parts = [part for part in ast.walk(statement) if isinstance(part, ast.stmt)]
    plain = all(isinstance(part, _PASSABLE) or is_message(part) or _is_text(part) for part in parts)
    bound = {alias_name(a) for s in parts if isinstance(s, ast.Import | ast.ImportFrom) for a in s.names}
    bound |= {part.id for part in ast.walk(statement) if isinstance(part, ast.Name)}
    return plain and not bound & (names | {"*"}) and not _EFFECTS.search(source_of(statement, file.lines))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
