"""A statement in a `with` of its own."""

from __future__ import annotations

from typing import Any, cast

import libcst as cst


def deeper(statement: Any, head: str, module: cst.Module) -> cst.With:
    """A statement as the body of a `with`; comments above it stand above that.

    Args:
        statement: a line of simple statements.
        head: the first line of the `with`, with its colon.
        module: the file, whose indents and line ends are taken.
    """
    frame = cast("cst.With", cst.parse_statement(f"{head}\n    pass\n", config=module.config_for_parsing))
    moved = statement.with_changes(leading_lines=[]).visit(_Deeper(module.default_indent))
    body = frame.body.with_changes(body=[moved], indent=None)
    return frame.with_changes(body=body, leading_lines=statement.leading_lines)


class _Deeper(cst.CSTTransformer):
    """Moves continuation lines that are not indented with their block."""

    def __init__(self, tab: str) -> None:
        super().__init__()
        self.tab = tab

    def leave_ParenthesizedWhitespace(  # noqa: N802
        self, original_node: cst.ParenthesizedWhitespace, updated_node: cst.ParenthesizedWhitespace
    ) -> cst.ParenthesizedWhitespace:
        if original_node.indent:
            return updated_node
        return updated_node.with_changes(last_line=cst.SimpleWhitespace(self.tab + updated_node.last_line.value))
