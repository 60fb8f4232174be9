"""The words of a notebook that may be names of things outside it; what it defines and calls itself is its own."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.notebook import Notebook, read_any
from xf2sdpa.files.source import SourceError

_BINDING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def words_of(path: str, text: str) -> str:
    """What a notebook imports, reads of objects, holds in strings, reads without binding it, or says in no Python.

    The whole text, where it is no notebook of Python, does not parse, or takes all names of a module.
    """
    try:
        source = read_any(Path(path))
        if not isinstance(source, Notebook):
            return text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
    except (SourceError, DiscoverError, SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, _BINDING)}
    words = list(source.table.texts)  # commands of the shell or of IPython, and cells that no parser takes
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            words += [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            words.append(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.append(node.value)
        elif isinstance(node, ast.Name) and node.id not in own:
            words.append(node.id)
    return text if "*" in words else "\n".join(words)
