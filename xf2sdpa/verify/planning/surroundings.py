"""What a rewrite changed around a call, and whether both sides can still be run side by side."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from xf2sdpa.edits.kinds import AddImport, InsertBefore, Rename, ReplaceStatement, Unwrap, Within
from xf2sdpa.model import SiteClass
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.spelling import heads_swap
from xf2sdpa.verify.planning.alignment import Alignment
from xf2sdpa.verify.planning.atoms import Cancelled, NotShared
from xf2sdpa.verify.planning.mask_made import FRESH
from xf2sdpa.verify.planning.parts import Beside, span_key
from xf2sdpa.verify.planning.purity import is_pure
from xf2sdpa.verify.planning.texts import FileTexts


def _home(around: Sequence[ast.AST]) -> ast.AST:
    """The nearest function, class or module among a node's ancestors."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    return next(parent for parent in around if isinstance(parent, kinds))


def _check_surroundings(draft: FileTexts, call: CallDraft, made: ast.stmt | None) -> None:
    """Check that other edits in the same function are as the rewrite made them, as the shadow does not run them."""
    if draft.engine is None:
        return
    home = _home(list(draft.file.names.ancestors(call.site.node)))
    inside = {id(part) for part in ast.walk(home)}
    own = {id(other.site.node) for other in draft.calls} | {id(e.node) for e in _replaced(call)}
    own |= {id(part) for part in ast.walk(made)} if made is not None else set()
    for statement in draft.alignment.by_hand:
        if id(statement) in inside and statement is not made:
            raise NotShared(f"line {statement.lineno} was edited by hand, and is not part of the call")
    for edit in draft.file.edits:
        if isinstance(edit, AddImport | InsertBefore | Rename | Within):
            continue
        if id(edit.node) not in inside or id(edit.node) in own:
            continue
        if _outcome(draft.alignment, edit.node) != _outcome(draft.engine, edit.node):
            raise NotShared(f"line {edit.node.lineno} was edited by hand, and is not part of the call")


def _outcome(alignment: Alignment, node: ast.AST) -> list[str]:
    found: list[ast.AST] = [*alignment.statements.get(id(node), [])]
    found += [alignment.expressions[id(node)]] if id(node) in alignment.expressions else []
    return [ast.dump(part) for part in found]


def _replaced(call: CallDraft) -> list[ReplaceStatement]:
    """Statements that were replaced by others for this call."""
    return [edit for edit in call.edits if isinstance(edit, ReplaceStatement) and edit.text]


def _besides(draft: FileTexts, call: CallDraft) -> tuple[list[Beside], dict[str, str]]:
    """The new assignments that the call depends on, and their variables' names in the instrumented program."""
    found, fresh = [], {}
    for edit in _replaced(call):
        for statement in draft.alignment.statements.get(id(edit.node), []):
            if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
                raise NotShared(f"line {statement.lineno} of the new text is no plain assignment")
            if not is_pure(statement.value, draft.new_names):
                raise NotShared(f"{ast.unparse(statement.value)} may have an effect, and cannot run twice")
            name = FRESH.format(statement.targets[0].id.strip("_"), edit.node.lineno)
            fresh[statement.targets[0].id] = name
            found.append(Beside(span_key(edit.node), name, ast.unparse(statement.value)))
    return found, fresh


def _cancelled(call: CallDraft) -> dict[str, Cancelled]:
    """The transposes before the call that the rewrite removed, by parameter."""
    names = call.file.names
    found = {}
    for edit in call.edits:
        definition: ast.AST | None = None
        if isinstance(edit, ReplaceStatement) and not edit.text:
            definition = edit.node
        elif isinstance(edit, Unwrap):
            definition = names.parents.get(id(edit.node))
        if not isinstance(definition, ast.Assign) or not isinstance(definition.targets[0], ast.Name):
            continue
        swap = heads_swap(definition.value, names)
        target = definition.targets[0].id
        before = (definition.lineno, definition.col_offset) < (call.site.node.lineno, call.site.node.col_offset)
        for role in ("query", "key", "value"):
            argument = call.argument(role)
            if swap and before and isinstance(argument, ast.Name) and argument.id == target:
                inner = swap[0]
                stands_as = inner.id if isinstance(edit, ReplaceStatement) and isinstance(inner, ast.Name) else target
                fresh = FRESH.format(target.strip("_"), definition.lineno)
                found[role] = Cancelled(definition.value, inner, fresh, stands_as)
    return found


def _outer(call: CallDraft) -> ast.expr:
    """The call, or the transpose directly around it that the rewrite removed."""
    for edit in call.edits:
        if isinstance(edit, Unwrap) and getattr(edit.node.func, "value", None) is call.site.node:
            return edit.node
    return call.site.node


def _is_undone(call: CallDraft) -> bool:
    """Whether the new result is `[B, H, M, K]`, since a later transpose of it was removed."""
    return call.kind in (SiteClass.EXACT, SiteClass.ASSUMED) and call.rank == 4 and ".transpose(" not in call.suffix


def _strides_matter(draft: FileTexts, call: CallDraft) -> bool:
    """Whether the result must be contiguous: not if no `.view` follows, or the rewrite made each a `.reshape`."""
    if call.kind is SiteClass.COMPAT or call.suffix.endswith(".contiguous()"):
        return True
    for edit in call.edits:
        if isinstance(edit, Rename):
            new = draft.alignment.expressions.get(id(edit.node))
            if not isinstance(new, ast.Attribute) or new.attr != edit.name:
                return True
    return False
