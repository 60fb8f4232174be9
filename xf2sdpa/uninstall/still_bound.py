"""Rewritten files that cannot be imported without xformers all the same: what they import keeps it.

Only imports that run when the file is imported count, and that nothing guards: those at the top level of a module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.codes import STILL_BOUND
from xf2sdpa.model import FileResult, Finding, FindingKind, Span
from xf2sdpa.project.files import Project

_NEEDS = re.compile(r"^(?:from[ \t]+|import[ \t]+(?:[^\n#]*,[ \t]*)?)(?:xformers|mslk)\b", re.MULTILINE)
_ADVICE = "Rewrite that file by hand, import it only where it is needed, or keep xformers for it."


def still_bound(results: Collection[FileResult], project: Project) -> Iterator[tuple[FileResult, Finding]]:
    """Each rewritten file that imports one which keeps xformers, with a finding for each of those.

    Args:
        results: what became of each file.
        project: the files as they will be.
    """
    keeping = {str(result.path) for result in results if not result.failed and _NEEDS.search(result.new)}
    rewritten = [result for result in results if result.changed and str(result.path) not in keeping]
    if not keeping or not rewritten:
        return
    for result in rewritten:
        named: set[str] = set()
        for statement in _imports(result.old):
            for target in sorted(project.graph.targets_of(str(result.path), ast.unparse(statement)) & keeping - named):
                named.add(target)
                yield result, _finding(result, statement, target)


def _finding(result: FileResult, statement: ast.stmt, target: str) -> Finding:
    span = Span(statement.lineno, statement.col_offset, statement.end_lineno or 0, statement.end_col_offset or 0)
    message = f"cannot be imported without xformers, as it imports {target}, which keeps it"
    return Finding(str(result.path), span, STILL_BOUND, message, _ADVICE, FindingKind.KEEPS)


def _imports(text: str) -> list[ast.stmt]:
    """The imports that run whenever a module is imported."""
    try:
        body = parse_once(text).tree.body
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [statement for statement in body if isinstance(statement, ast.Import | ast.ImportFrom)]
