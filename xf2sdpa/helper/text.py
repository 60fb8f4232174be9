"""Assembles the helper module that is copied into a user's package: `xf2sdpa.compat`, pruned to what is used.

Reads the sources of `xf2sdpa.compat` as text and never imports them, as they need torch.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xf2sdpa import __version__
from xf2sdpa.files.reading import read_regular
from xf2sdpa.model import Copy

MODULE_NAME = "_attention_compat"
FILE_NAME = f"{MODULE_NAME}.py"
_FOLDER = Path(__file__).parents[1] / "compat"
_MODULES = ("kernels", "sequences", "masks", "packed_masks", "attention", "ops")
_MARK = "# xf2sdpa-copy: "
_HEADER = '''"""Attention with the names and the layout of xformers.ops, on torch alone.

Made by xf2sdpa {version} from its module xf2sdpa.compat (MIT licence), with only what this project uses.
It is yours: edit it, or delete it once nothing imports it. xf2sdpa updates a copy only if nobody edited it.
"""

{mark}{digest}
'''


def with_text(copy: Copy, names: Collection[str]) -> Copy:
    """The copy with the text that it should have, for what its users need and what it already holds."""
    try:
        old = _standing(copy.path)
        bound = _bound_in(old or "")
    except _NO_MODULE as error:
        return replace(copy, old="", broken=_why(error))
    if old is None:
        return replace(copy, text=assemble(names))
    if is_untouched(old):
        return replace(copy, old=old, text=assemble({*names, *(bound & exported())}))
    return replace(copy, old=old)


def held(path: Path) -> frozenset[str]:
    """The names of the API that the copy at a path defines; none where there is none."""
    try:
        return _bound_in(_standing(path) or "") & exported()
    except _NO_MODULE:
        return frozenset()


def lacking(path: Path, names: Collection[str]) -> frozenset[str]:
    """Those of some names that a helper module lacks which a person has edited, or written; it gets no new ones."""
    try:
        text = _standing(path)
        kept = text is not None and not is_untouched(text)
        return frozenset(names) - _bound_in(text) if kept and text is not None else frozenset()
    except _NO_MODULE:
        return frozenset()  # told of as broken: its users stay as they are anyway


_NO_MODULE = (OSError, ValueError, SyntaxError, RecursionError, MemoryError)
"""What reading a file in the helper's place raises where it is none."""


def _standing(path: Path) -> str | None:
    """The text of a copy, None where there is none.

    Raises:
        OSError, ValueError: what stands there is no text.
    """
    return read_regular(path).decode("utf-8").replace("\r\n", "\n") if os.path.lexists(path) else None


def _why(error: BaseException) -> str:
    """Why what stands in a helper's place is none."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "does not parse"


def _bound_in(text: str) -> frozenset[str]:
    """The names that a module binds at its top, whatever it binds them to.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it does not parse.
    """
    waiting: list[ast.stmt] = list(ast.parse(text).body)
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.If | ast.Try):
            waiting += [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
        found |= _bound(node)
    return frozenset(found)


@dataclass(frozen=True)
class _Piece:
    """One top-level definition: the names it binds, the names it reads, its text."""

    binds: frozenset[str]
    reads: frozenset[str]
    text: str


@functools.cache
def exported() -> frozenset[str]:
    """The names of xformers' API that a copy can define."""
    tree = ast.parse((_FOLDER / "__init__.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return frozenset(ast.literal_eval(node.value)) - {"install", "uninstall"}
    raise AssertionError("xf2sdpa.compat has no __all__")


def assemble(names: Iterable[str]) -> str:
    """The text of a module that defines these names and everything that they use.

    Raises:
        KeyError: a name is not in `exported`.
    """
    names = set(names)
    unknown = names - exported()
    if unknown:
        raise KeyError(*sorted(unknown))
    imports, pieces = _sources()
    kept = _reached(names, pieces)
    chosen = [piece for piece in pieces if piece.binds & kept]
    used = frozenset().union(*(piece.reads for piece in chosen))
    body = _arranged(line for bound, line in imports if bound & used) + _joined(chosen) + "\n"
    return _HEADER.format(version=__version__, mark=_MARK, digest=_digest(body)) + body


def is_untouched(text: str) -> bool:
    """Whether a copy is exactly as some version of xf2sdpa wrote it."""
    head, mark, rest = text.replace("\r\n", "\n").partition(_MARK)
    digest, newline, body = rest.partition("\n")
    return bool(mark and newline and head) and _digest(body) == digest.strip()


def is_copy(text: str) -> bool:
    """Whether a file was made by xf2sdpa, edited since or not."""
    return _MARK in text


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


@functools.cache
def _sources() -> tuple[tuple[tuple[frozenset[str], str], ...], tuple[_Piece, ...]]:
    """The import lines with the names that each binds, and all definitions in order."""
    imports: dict[str, frozenset[str]] = {}
    pieces: list[_Piece] = []
    for name in _MODULES:
        text = (_FOLDER / f"{name}.py").read_text("utf-8")
        lines = text.splitlines()
        previous = 0
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.update(_import_lines(node))
            elif bound := _bound(node):
                pieces.append(_Piece(bound, _reads(node), _text(lines, previous, node)))
            previous = node.end_lineno or node.lineno
    return tuple((bound, line) for line, bound in imports.items()), tuple(pieces)


def _import_lines(node: ast.Import | ast.ImportFrom) -> dict[str, frozenset[str]]:
    """One import line per name, with the names that it binds, so that each can be left out separately."""
    if isinstance(node, ast.ImportFrom):
        if node.module == "__future__" or (node.module or "").startswith("xf2sdpa"):
            return {}
        return {ast.unparse(ast.ImportFrom(node.module, [a], 0)): frozenset({a.asname or a.name}) for a in node.names}
    return {ast.unparse(ast.Import([a])): frozenset({(a.asname or a.name).partition(".")[0]}) for a in node.names}


def _arranged(lines: Iterable[str]) -> str:
    """Import lines in the order of isort and ruff: the standard library, then torch, one line per module."""
    plain: set[str] = set()
    taken: dict[str, set[str]] = {}
    for line in lines:
        module, _, name = line.removeprefix("from ").partition(" import ")
        if name:
            taken.setdefault(module, set()).add(name)
        else:
            plain.add(line)
    merged = [f"from {module} import {', '.join(sorted(taken[module]))}" for module in sorted(taken)]
    ordered = [*sorted(plain, key=lambda line: line.split()[1]), *merged]
    torch = [line for line in ordered if line.split()[1].partition(".")[0] == "torch"]
    standard = [line for line in ordered if line not in torch]
    blocks = ["from __future__ import annotations", *("\n".join(group) for group in (standard, torch) if group)]
    return "\n\n".join(blocks) + "\n"


def _joined(pieces: Sequence[_Piece]) -> str:
    """Definitions with two blank lines before each, but none between constants of one line."""
    text, tight = "", False
    for index, piece in enumerate(pieces):
        constant = "\n" not in piece.text and not piece.text.startswith(("def ", "class ", "@"))
        first = "\n" if constant else "\n\n"
        text += (first if index == 0 else "\n" if constant and tight else "\n\n\n") + piece.text
        tight = constant
    return text


def _bound(node: ast.stmt) -> frozenset[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return frozenset({node.name})
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return frozenset(target.id for target in targets if isinstance(target, ast.Name))


def _reads(node: ast.AST) -> frozenset[str]:
    """All names in a definition, also those in quoted annotations."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    quoted = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return frozenset(names | {text for text in quoted if text.isidentifier()})


def _text(lines: list[str], previous: int, node: ast.stmt) -> str:
    """The text of a definition with its decorators and the comments directly above it."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    while first - 1 > previous and lines[first - 2].startswith("#"):
        first -= 1
    return "\n".join(lines[first - 1 : node.end_lineno])


def _reached(names: set[str], pieces: Collection[_Piece]) -> set[str]:
    reached: set[str] = set()
    while names - reached:
        reached |= names
        names = {name for piece in pieces if piece.binds & reached for name in piece.reads}
    return reached
