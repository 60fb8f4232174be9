"""Import statements: removes names on LibCST's tree, and finds the first place for a new one."""

from __future__ import annotations

import ast
import unicodedata
from typing import cast

import libcst as cst

from xf2sdpa.edits.kinds import RemoveAliases


def without_aliases(node: cst.BaseSmallStatement, edit: RemoveAliases) -> cst.BaseSmallStatement | None:
    """An import statement without some of its names; None if none is left."""
    named = cast("cst.Import | cst.ImportFrom", node).names
    if isinstance(named, cst.ImportStar):
        return None if "*" in edit.bound else node
    kept = [alias for alias in named if not _is_removed(alias, edit)]
    if not kept:
        return None
    if kept[-1] is not named[-1]:
        last = named[-1].comma
        if isinstance(last, cst.Comma):  # a trailing comma: its white space closes the parenthesis
            kept[-1] = kept[-1].with_changes(comma=last)
        else:
            kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return node.with_changes(names=kept)


def _is_removed(alias: cst.ImportAlias, edit: RemoveAliases) -> bool:
    """Whether a name goes. Python takes letters that only look otherwise, `𝐟𝐨𝐨`, for plain ones; LibCST does not."""
    whole = alias.evaluated_alias or alias.evaluated_name
    return unicodedata.normalize("NFKC", whole) in edit.bound


def after_preamble(tree: ast.Module) -> int:
    """The number of statements that must come first: the docstring and `from __future__` imports."""
    count = 0
    for statement in tree.body:
        is_doc = count == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_doc and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        count += 1
    return count
