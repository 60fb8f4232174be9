"""Where a file constructs a convolution, which is what `cudnn.benchmark` is about.

Known by the names that torch gives to layers and functions, whatever module they are taken from. A layer that is only
asked about (`isinstance(m, nn.Conv2d)`, `type(m) == nn.Conv2d`, an annotation) is not constructed there; one that is
handed on (`layer=nn.Conv2d`) is. A class made from one (`class Causal(nn.Conv1d)`) counts where it is used.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.parsed import parse_once

_NAME = r"(?:Lazy)?Conv(?:Transpose)?[123]d|conv(?:_transpose)?[123]d|convolution"
_CONVOLUTION = re.compile(_NAME)
_HINT = re.compile(r"onv(?:Transpose|_transpose)?[123]d|onvolution")
"""A text without this has none. It begins with letters, which are found without looking at all others."""
_QUESTIONS = frozenset({"isinstance", "issubclass"})


@functools.cache
def convolution_in(text: str) -> tuple[int, str] | None:
    """The first place where a text constructs or calls a convolution: the line and the name; None if there is none."""
    if not _HINT.search(text):
        return None
    try:
        found_in = parse_once(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    names = _renamed(found_in.of(ast.ImportFrom)) | _derived(found_in.of(ast.ClassDef))
    found = [
        (node.lineno, called_name(node))
        for node in _used(found_in.tree)
        if _CONVOLUTION.fullmatch(called_name(node)) or called_name(node) in names
    ]
    return min(found, default=None)


def _renamed(imports: Sequence[ast.ImportFrom]) -> set[str]:
    """Names that imports give to convolutions: `from torch.nn import Conv2d as C`."""
    return {a.asname for node in imports for a in node.names if a.asname and _CONVOLUTION.fullmatch(a.name)}


def _derived(classes: Sequence[ast.ClassDef]) -> set[str]:
    """Classes of the file that are convolutions themselves."""
    found: set[str] = set()
    for node in classes:
        bases = {called_name(base) for base in node.bases}
        if bases & found or any(_CONVOLUTION.fullmatch(base) for base in bases):
            found.add(node.name)
    return found


def _used(tree: ast.Module) -> Iterator[ast.expr]:
    """Names and attributes that are read where what they mean is called or handed on."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            yield node
        if not _only_asks(node):
            queue.extend(_parts(node))


def _only_asks(node: ast.AST) -> bool:
    """Whether what stands in a node is compared, asked about or imported."""
    if isinstance(node, ast.Call):
        return called_name(node.func) in _QUESTIONS
    return isinstance(node, ast.Compare | ast.Import | ast.ImportFrom)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a node, without annotations and bases of classes."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "bases"):
            continue
        yield from (part for part in (value if isinstance(value, list) else [value]) if isinstance(part, ast.AST))
