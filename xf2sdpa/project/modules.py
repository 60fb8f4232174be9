"""Whether a module object is handed to code that may read any name of it.

`import ops` and `ops.attend` is how a module is read; `pick(ops, name)`, `vars(ops)`, `inspect.getmembers(ops)` and
`globals().get(name)` are not followed.
"""

from __future__ import annotations

import ast
import re
from pathlib import PurePath

from xf2sdpa.analysis.imports import scope_of
from xf2sdpa.analysis.names import called_name
from xf2sdpa.project.import_graph import Import
from xf2sdpa.project.index import Index, Parsed

_READING = frozenset({"getattr", "hasattr", "setattr", "delattr", "reload"})
"""Functions that are given a module and a name; what `getattr` looks up is the index's question."""


def handed_on_at(index: Index, home: str) -> str:
    """The place where the module of a file is handed on; empty if that is nowhere.

    Raises:
        Unknowable: too many files are to be parsed.
    """
    project, graph = index.project, index.project.graph
    whole = re.compile(rf"""(?:import_module|__import__)\(\s*["'][\w.]*\b{_stem(home)}["']\s*\)(?!\s*\.\s*\w)""")
    for path in project.files:
        if _stem(home) in (text := project.text(path)) and (found := whole.search(text)) is not None:
            return f"{path}:{text.count(chr(10), 0, found.start()) + 1}"
    for path, targets in graph.edges.items():
        statements = [s for s in project.imports(path) if _means(index, path, s, home)] if home in targets else []
        parsed = index.file(path) if statements else None
        if parsed is not None and (line := _handed_on_in(index, parsed, home)):
            return f"{path}:{line}"
    own = index.file(home)
    return f"{home}:{line}" if own is not None and (line := _own_names(own)) else ""


def _stem(path: str) -> str:
    """The last component of a module's dotted path."""
    pure = PurePath(path)
    return pure.parent.name if pure.stem == "__init__" else pure.stem


def _means(index: Index, path: str, statement: Import, home: str) -> bool:
    """Whether an import binds a module, or the package that it is in."""
    whole = f"{statement.module}.{statement.name}".strip(".")
    return index.project.graph.module(path, statement.dots, whole) == home


def _handed_on_in(index: Index, parsed: Parsed, home: str) -> int:
    """The line where a file that imports a module hands it on; 0 if it does not."""
    names, graph = parsed.names, index.project.graph
    read: list[ast.expr] = []
    for statement in names.imports:
        dots = statement.level if isinstance(statement, ast.ImportFrom) else 0
        module = f"{statement.module or ''}." if isinstance(statement, ast.ImportFrom) else ""
        for alias in statement.names:
            if graph.module(parsed.path, dots, f"{module}{alias.name}".strip(".")) != home:
                continue
            bound = alias.asname or alias.name
            if "." in bound:  # `import package.ops`
                read += [n for n in parsed.attributes.get(_stem(home), ()) if ast.unparse(n) == bound]
                continue
            owner = scope_of(names, statement)
            owner = owner.elsewhere.get(bound, owner)
            read += [n for n in names.loads.get(bound, ()) if names.scope_at[id(n)].owner(bound) is owner]
    return next((node.lineno for node in read if _is_handed_on(parsed, node)), 0)


def _is_handed_on(parsed: Parsed, node: ast.expr) -> bool:
    parent = parsed.names.parents[id(node)]
    if isinstance(parent, ast.Attribute):
        around = parsed.names.parents[id(parent)]
        return parent.attr == "__dict__" and not isinstance(around, ast.Subscript)
    if isinstance(parent, ast.Call) and called_name(parent.func) in _READING:
        return node not in parent.args[:1]
    return not isinstance(parent, ast.Expr | ast.Delete)


def _own_names(parsed: Parsed) -> int:
    """The line where a module goes through its own names, but by one that is looked up: `globals().values()`."""
    for call in parsed.names.calls:
        if not (isinstance(call.func, ast.Name) and call.func.id == "globals"):
            continue
        parent = parsed.names.parents[id(call)]
        writes = isinstance(parent, ast.Attribute) and parent.attr == "update"
        if not (writes or isinstance(parent, ast.Subscript | ast.Compare)):
            return call.lineno
    return 0
