"""A minimal assembler of the pruned single file, by the recipe in `xf2sdpa.compat`'s docstring and no more.

It exists to prove that the recipe holds; the product has its own.
"""

from __future__ import annotations

import ast
from pathlib import Path

import xf2sdpa.compat

ORDER = ("kernels", "sequences", "masks", "packed_masks", "attention", "ops")


def assembled(*wanted: str) -> str:
    """The text of one file that defines `wanted` and what they reach."""
    folder = Path(xf2sdpa.compat.__file__).parent
    imports: list[str] = []
    pieces: list[tuple[set[str], ast.stmt]] = []
    for name in ORDER:
        for node in ast.parse((folder / f"{name}.py").read_text()).body:
            if isinstance(node, ast.ImportFrom | ast.Import):
                if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xf2sdpa")):
                    imports.append(ast.unparse(node))
            elif names := _defined(node):
                pieces.append((names, node))
    kept = _reached(set(wanted), pieces)
    body = [ast.unparse(node) for names, node in pieces if names & kept]
    header = sorted(set(imports), key=lambda line: (not line.startswith("from __future__"), line))
    return "\n".join(header) + "\n\n" + "\n\n\n".join(body) + "\n"


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    assert isinstance(node, ast.Expr)
    assert isinstance(node.value, ast.Constant), "only definitions and docstrings at top level"
    return set()


def _reached(names: set[str], pieces: list[tuple[set[str], ast.stmt]]) -> set[str]:
    reached: set[str] = set()
    while names - reached:
        reached |= names
        names = {
            used.id
            for defined, node in pieces
            if defined & reached
            for used in ast.walk(node)
            if isinstance(used, ast.Name)
        }
    return reached
