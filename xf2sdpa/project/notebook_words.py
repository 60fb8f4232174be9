"""The words by which a notebook may mean something outside it: what it defines and calls itself is its own."""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import Path

from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.notebook import read_any
from xf2sdpa.files.source import SourceError

_COMMAND = re.compile(r'^\s*"\s*[!%].*$', re.MULTILINE)
"""A line of a notebook's JSON that is a command of the shell or of IPython."""
_BINDING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def words_of(path: str, text: str) -> str:
    """What a notebook imports, reads of objects, holds in strings, or reads without binding it.

    The whole text, where it is no notebook of Python, does not parse, or takes all names of a module.
    """
    try:
        source = read_any(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text) if source is not None else None
    except (SourceError, DiscoverError, SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    if tree is None:
        return text
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, _BINDING)}
    words = _COMMAND.findall(text)
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
