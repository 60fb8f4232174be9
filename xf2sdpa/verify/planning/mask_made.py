"""Lets the new side make a mask that the function makes in a statement of its own, by the new text's expression.

`mask = fmha.BlockDiagonalMask.from_seqlens(lengths)` still runs in the program, and the value of `lengths` is kept; the
new side makes its own mask from it with the helper's class, as the new text does.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.flow import definition_before
from xf2sdpa.analysis.names import Names, first_name
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.verify.planning.alignment import Alignment
from xf2sdpa.verify.planning.atoms import chains, substituted
from xf2sdpa.verify.planning.parts import Beside, Capture, span_key

FRESH = "__xf2sdpa_{}_{}__"
"""Pattern of the names that instrumentation adds to a program: from a variable's name and a line."""


@dataclass
class Made:
    """The new side with the mask's own expression in it.

    Attributes:
        statement: the old statement that makes the mask.
        target: the new call.
        captures: the expressions that both texts have in that statement.
        besides: the expressions that only the new text has there.
    """

    statement: ast.Assign
    target: ast.expr
    captures: list[Capture] = field(default_factory=list)
    besides: list[Beside] = field(default_factory=list)

    @property
    def names(self) -> dict[str, str]:
        """The names of these expressions' values in the instrumented program."""
        kept = [*(capture.name for capture in self.captures), *(beside.name for beside in self.besides)]
        return {name: name for name in kept}


def mask_made(
    call: CallDraft, alignment: Alignment, new_names: Names, helpers: Collection[str], twin: ast.expr
) -> Made | None:
    """The new call with the new text's mask expression in it; None if the mask is made elsewhere, or without xformers.

    Args:
        call: the old call.
        alignment: the new text aligned with the old one.
        new_names: what names refer to in the new text.
        helpers: dotted names of the helper module there.
        twin: the new call.
    """
    statement = _statement(call)
    value = alignment.values.get(id(statement)) if statement is not None else None
    if statement is None or value is None:
        return None
    name = statement.targets[0].id  # type: ignore[attr-defined]
    places = [part for part in ast.walk(twin) if isinstance(part, ast.Name) and part.id == name]
    if not places:
        return None
    made = Made(statement, twin)
    parts: dict[int, ast.expr] = {}
    old = {ast.dump(part): part for part in ast.walk(statement.value) if isinstance(part, ast.expr)}
    for part in _shared(value, old, new_names):
        fresh = FRESH.format(f"{name.strip('_')}{len(parts)}", statement.lineno)
        parts[id(part)] = ast.Name(fresh, ast.Load())
        made.captures.append(Capture(span_key(old[ast.dump(part)]), fresh))
    covered = {id(inner) for part in _by_id(value, parts) for inner in ast.walk(part) if isinstance(inner, ast.expr)}
    for chain in list(chains(value, new_names, helpers, covered)):
        root = first_name(chain)
        if isinstance(root, ast.Name) and root.id == name:
            return None
        fresh = FRESH.format(f"{name.strip('_')}{len(parts)}", statement.lineno)
        parts[id(chain)] = ast.Name(fresh, ast.Load())
        made.besides.append(Beside(span_key(statement), fresh, ast.unparse(chain)))
    expression = substituted(value, parts)
    made.target = substituted(twin, {id(place): expression for place in places})
    return made


def _statement(call: CallDraft) -> ast.Assign | None:
    """The one statement of the function that assigns the mask, if it uses names of xformers."""
    names, argument = call.file.names, call.argument("attn_bias")
    found = definition_before(names, argument.id, argument) if isinstance(argument, ast.Name) else None
    if not isinstance(found, ast.Assign) or names.function(found) is not names.function(call.site.node):
        return None
    plain = len(found.targets) == 1 and isinstance(found.targets[0], ast.Name)
    return found if plain and rests_on_ours(found, names) else None


def rests_on_ours(statement: ast.Assign, names: Names) -> bool:
    """Whether the right side of an assignment uses a name of xformers, which the rewrite changes."""
    reads = (part for part in ast.walk(statement.value) if isinstance(part, ast.Name))
    return any(is_ours(names.resolve(part)) for part in reads)


def _shared(node: ast.AST, old: dict[str, ast.expr], names: Names) -> Iterator[ast.expr]:
    """The largest parts of the new expression that the old one contains too."""
    if isinstance(node, ast.expr) and not isinstance(node, ast.Constant):
        dotted = names.resolve(node) if isinstance(node, ast.Name | ast.Attribute) else None
        if not dotted and ast.dump(node) in old and _is_a_value(node):
            yield node
            return
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        children = [node.func.value, *node.args, *node.keywords]
    for child in children:
        yield from _shared(child, old, names)


def _is_a_value(node: ast.expr) -> bool:
    """Whether an expression has a value of its own: not a slice, not starred, not an assigned name."""
    return not isinstance(node, ast.Slice | ast.Starred) and (
        not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Load)
    )


def _by_id(node: ast.AST, wanted: Collection[int]) -> Iterator[ast.AST]:
    return (part for part in ast.walk(node) if id(part) in wanted)
