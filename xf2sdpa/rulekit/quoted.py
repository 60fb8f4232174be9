"""Names inside quoted annotations: `x: "fmha.BlockDiagonalMask"`, `Union["A", "B"]`, `cast("A", x)`."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.names import called_name
from xf2sdpa.edits.kinds import ReplaceExpression
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import has_helper

_GENERIC = frozenset({"Optional", "Union"})
_WITH_TYPES = {"cast": slice(0, 1), "TypeVar": slice(1, None), "NewType": slice(1, 2), "ForwardRef": slice(0, 1)}
"""Functions that are given types, and which of their arguments are."""


def quoted_parts(file: FileDraft) -> Iterator[tuple[ast.Constant, str, dict[str, str]]]:
    """Annotations in quotes that name parts of the helper by a dotted name or a star.

    Yields each with how it reads with the helper's names, and with these: as it calls them, and as the helper does.
    """
    for constant in quoted_types(file) if file.names.may_mean_ours else ():
        tree = _expression_in(constant)
        if tree is None:
            continue
        renamer = _Renamer(file)
        text = ast.unparse(renamer.visit(tree))
        if renamer.found:
            yield constant, text if renamer.renamed else str(constant.value), renamer.found


def in_quotes(file: FileDraft, constant: ast.Constant, text: str) -> str:
    """A string as a literal, in the quotes that the file has there unless it holds such quotes itself."""
    quote = file.lines[constant.lineno - 1].encode()[constant.col_offset :].decode()[0]
    free = [q for q in (quote, '"', "'") if q in "\"'" and q not in text]
    return f"{free[0]}{text}{free[0]}" if free else repr(text)


def _expression_in(constant: ast.Constant) -> ast.expr | None:
    """The expression that a quoted annotation holds, if it holds one."""
    try:
        return ast.parse(str(constant.value).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def is_quoted(file: FileDraft, name: str) -> bool:
    """Whether some quoted annotation reads a name, as the file is left."""
    if any(not file.is_gone(constant) for constant in _quoting(file).get(name, ())):
        return True
    # What was rewritten still reads the rest of its names.
    rewritten = (e for e in file.edits if isinstance(e, ReplaceExpression) and isinstance(e.node, ast.Constant))
    return any(name in _names_in(ast.Constant(ast.literal_eval(edit.text))) for edit in rewritten)


@functools.lru_cache(maxsize=2)
def _quoting(file: FileDraft) -> dict[str, list[ast.Constant]]:
    """The quoted annotations that read each name, as they were."""
    found: dict[str, list[ast.Constant]] = {}
    for constant in quoted_types(file):
        for name in _names_in(constant):
            found.setdefault(name, []).append(constant)
    return found


@functools.lru_cache(maxsize=2)
def quoted_types(file: FileDraft) -> tuple[ast.Constant, ...]:
    """The strings that are annotations, or types that stand elsewhere."""
    return tuple(constant for constant in file.names.strings if is_annotation(file, constant))


def _names_in(quoted: ast.expr) -> set[str]:
    """Every name that a quoted annotation reads, in quotes within it as well; what `Literal[…]` holds is no name."""
    found: set[str] = set()
    nodes: list[ast.AST] = [quoted]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            nodes.extend(filter(None, [_expression_in(node)]))
        elif isinstance(node, ast.Subscript) and called_name(node.value) == "Literal":
            nodes.append(node.value)
        else:
            nodes.extend(ast.iter_child_nodes(node))
    return found


def is_annotation(file: FileDraft, node: ast.expr) -> bool:
    """Whether an expression is (part of) an annotation, or of a type that stands elsewhere."""
    child: ast.AST = node
    for parent in file.names.ancestors(node):
        if isinstance(parent, ast.Subscript) and called_name(parent.value) == "Literal" and child is parent.slice:
            return False  # a value
        if _is_type(file, parent, child):
            return True
        if isinstance(parent, ast.arg | ast.AnnAssign):
            return parent.annotation is child
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return parent.returns is child
        if isinstance(parent, ast.stmt | ast.Call):
            return False
        child = parent
    return False  # pragma: no cover - an expression stands in a statement


def _is_type(file: FileDraft, parent: ast.AST, part: ast.AST) -> bool:
    """Whether a part of an expression is a type: `Union["A", "B"]`, `cast("A", x)`, `A: TypeAlias = "B"`."""
    if isinstance(parent, ast.Subscript):
        dotted = file.names.resolve(parent.value) or ""
        typing = dotted.startswith(("typing.", "typing_extensions.")) or called_name(parent.value) in _GENERIC
        return part is parent.slice and typing
    if isinstance(parent, ast.AnnAssign):
        return part is parent.value and called_name(parent.annotation) == "TypeAlias"
    if isinstance(parent, ast.keyword):
        return parent.arg == "bound"
    if isinstance(parent, ast.Call) and called_name(parent.func) in _WITH_TYPES:
        return any(part is argument for argument in parent.args[_WITH_TYPES[called_name(parent.func)]])
    return False


class _Renamer(ast.NodeTransformer):
    """Puts the helper's names in the place of dotted ones, in an expression that is no part of the file's tree."""

    def __init__(self, file: FileDraft) -> None:
        self.file = file
        self.found: dict[str, str] = {}
        self.renamed = False

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        api = api_name(self.file.names.resolve(node, self.file.names.module))
        if not has_helper(self.file, api) or api is None:
            return node
        self.found[api] = api
        self.renamed = True
        return ast.Name(api, ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.expr:
        module = self.file.names.module
        dotted = self.file.names.resolve(node, module)
        api = api_name(dotted)
        if module.owner(node.id) is None and is_ours(dotted) and has_helper(self.file, api) and api is not None:
            self.found[node.id] = api  # brought by a star, which goes
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        tree = _expression_in(node) if isinstance(node.value, str) else None
        if tree is None:
            return node
        inner = _Renamer(self.file)
        text = ast.unparse(inner.visit(tree))
        self.found.update(inner.found)
        self.renamed |= inner.renamed
        return ast.Constant(text) if inner.renamed else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """What stands in `Literal[…]` is no name."""
        if called_name(node.value) != "Literal":
            self.generic_visit(node)
        return node
