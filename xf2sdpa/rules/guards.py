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

from xf2sdpa.analysis.imports import GuardNode, alias_name, brings_ours, guards_around, is_lookup, is_message, scope_of
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.edits.kinds import AddImport, ReplaceStatement
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.guard import Guard, NotAGuard, read_guard
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.spelling import import_line

ORDER = 85
CODES = {"XF141": "a guard around xformers becomes the flag set to what it stood for"}
_PASSABLE = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Try, ast.If, ast.Pass)
_EFFECTS = re.compile(
    r"environ\s*(\[[^]]*\]\s*=[^=]|\.\s*(setdefault|update|pop))|putenv|sys\s*\.\s*(path|modules)|chdir"
)

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
        found = read_guard(file, node)
    except NotAGuard:
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
