"""Instruments a program: returns the old text's tree with a probe in the place of each call. Writes no file.

A call becomes `__xf2sdpa__.probe(SITE, lambda operator, atom0, …: OLD)(operator, atom0, …)`: the operator and the atoms
are evaluated in their old place, once, in order and in their own scope, so that walrus, await, yield, `super()` and
`.pop()` work as before. The old side stays in the program, so its names refer to what they referred to before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from xf2sdpa.verify.planning.parts import Atom, Beside, Capture, Shadow, SpanKey, span_key

HOOKS = "__xf2sdpa__"
"""The name of the module `entry` in the program. It ends in underscores, so that class bodies do not mangle it."""


class Stray(Exception):
    """A site's place is not found in the text, which is then not the text that was planned."""


def instrument(text: str, filename: str, shadows: Iterable[Shadow]) -> ast.Module:
    """The tree of a program with a probe at each site.

    Args:
        text: the old text for which the shadows were planned.
        filename: the file name for the parser's errors.
        shadows: the sites to instrument.

    Raises:
        SyntaxError: the text does not parse.
        Stray: a site is not found at its place.
    """
    tree = ast.parse(text, filename)
    shadows = list(shadows)
    if not shadows:
        return tree
    nodes = {span_key(node): node for node in ast.walk(tree) if isinstance(node, ast.expr | ast.stmt)}
    editor = _Editor(nodes, shadows)
    tree.body = [statement for old in tree.body for statement in editor.statements(old)]
    tree.body[start_of(tree) : start_of(tree)] = ast.parse(f"import xf2sdpa.verify.shadow.entry as {HOOKS}").body
    return ast.fix_missing_locations(tree)


class _Editor(ast.NodeTransformer):
    def __init__(self, nodes: Mapping[SpanKey, ast.AST], shadows: list[Shadow]) -> None:
        self.nodes = nodes
        self.sites = {id(self.node(shadow.node)): shadow for shadow in shadows}
        self.captures: dict[int, Capture] = {}
        self.besides: dict[int, list[Beside]] = {}
        for shadow in shadows:
            for capture in shadow.captures:
                self.captures[id(self.node(capture.node))] = capture
            for beside in shadow.besides:
                known = self.besides.setdefault(id(self.node(beside.after)), [])
                if beside not in known:
                    known.append(beside)

    def statements(self, node: ast.stmt) -> list[ast.stmt]:
        """The statements that replace a statement of the module."""
        edited = self.visit(node)
        return edited if isinstance(edited, list) else [edited]  # type: ignore[return-value,list-item]

    def node(self, key: SpanKey) -> ast.AST:
        try:
            return self.nodes[key]
        except KeyError:
            raise Stray(f"nothing stands at line {key[1]}, column {key[2]}") from None

    def visit(self, node: ast.AST) -> ast.AST | list[ast.AST]:
        shadow, capture, besides = self.sites.get(id(node)), self.captures.get(id(node)), self.besides.get(id(node))
        if shadow is not None and isinstance(node, ast.expr):
            return self.probe(node, shadow)
        edited: ast.AST = super().generic_visit(node)
        if capture is not None:
            target = ast.Name(capture.name, ast.Store())
            edited = ast.copy_location(ast.NamedExpr(target, edited), node)  # type: ignore[arg-type]
        return [edited, *(_statement(beside, node) for beside in besides)] if besides else edited

    def probe(self, node: ast.expr, shadow: Shadow) -> ast.Call:
        """The call of the probe; sites inside its atoms are instrumented too."""
        hook = ast.Call(_hook("probe"), [ast.Constant(shadow.site), _parsed(shadow.old_lambda(), node)], [])
        operator = self.visit(self.node(shadow.operator))
        atoms = [self.atom(atom, node) for atom in shadow.atoms]
        return ast.copy_location(ast.Call(hook, [operator, *atoms], []), node)  # type: ignore[list-item]

    def atom(self, atom: Atom, place: ast.expr) -> ast.expr:
        if atom.node is None:
            return ast.Call(_hook("beside"), [_parsed(f"lambda: {atom.source}", place)], [])
        value: ast.expr = self.visit(self.node(atom.node))  # type: ignore[assignment]
        if atom.role == "*":
            return ast.Tuple([ast.Starred(value, ast.Load())], ast.Load())
        return ast.Dict([None], [value]) if atom.role == "**" else value


def _statement(beside: Beside, node: ast.AST) -> ast.AST:
    value = ast.Call(_hook("beside"), [_parsed(f"lambda: {beside.source}", node)], [])
    return ast.copy_location(ast.Assign([ast.Name(beside.name, ast.Store())], value), node)


def _hook(name: str) -> ast.expr:
    return ast.Attribute(ast.Name(HOOKS, ast.Load()), name, ast.Load())


def _parsed(source: str, place: ast.AST) -> ast.expr:
    """A parsed expression with the position of another node."""
    expression = ast.parse(source, mode="eval").body
    for part in ast.walk(expression):
        ast.copy_location(part, place)
    return expression


def start_of(tree: ast.Module) -> int:
    """The index of the first statement after the docstring and the `from __future__` imports."""
    index = int(ast.get_docstring(tree, clean=False) is not None)
    while index < len(tree.body) and _is_future(tree.body[index]):
        index += 1
    return index


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
