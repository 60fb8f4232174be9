"""Assembles the helper module that is copied into a user's package: `xf2sdpa.compat`, pruned to what is used.

Reads the sources of `xf2sdpa.compat` as text and never imports them, as they need torch.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from xf2sdpa import __version__
from xf2sdpa.files.reading import read_regular
from xf2sdpa.helper.pruning import FOLDER, Uses, bound, chosen, sources
from xf2sdpa.model import Copy

MODULE_NAME = "_attention_compat"
FILE_NAME = f"{MODULE_NAME}.py"
PACKAGE_NAME = "xf2sdpa.compat"
"""The same names in the installed package, for those who prefer a dependency."""
_MARK = "# xf2sdpa-copy: "
_HEADER = '''"""Attention with the names and the layout of xformers.ops, on torch alone.

Made by xf2sdpa {version} from its module xf2sdpa.compat (MIT licence), with only what this project uses.
It is yours: edit it, or delete it once nothing imports it. xf2sdpa updates a copy only if nobody edited it.
"""

{mark}{digest}
'''


def with_text(copy: Copy, names: Collection[str], uses: Uses, ends: str = "\n") -> Copy:
    """The copy with its text: what its users need, and of what it held before all that some file names.

    `ends` is what the lines of a new one end in; one that stands keeps its own.
    """
    try:
        old = _standing(copy.path)
        there = _bound_in(old or "")
    except _NO_MODULE as error:
        return replace(copy, old="", broken=_why(error))
    if old is None:
        return replace(copy, text=with_ends(assemble(names, uses), ends))
    if is_untouched(old):
        text = assemble({*names, *(there & exported() & uses.words)}, uses)
        same = text == old.replace("\r\n", "\n")
        return replace(copy, old=old, text=old if same else with_ends(text, line_ends([old])))
    return replace(copy, old=old)


def line_ends(users: Iterable[str]) -> str:
    """What most of some texts end their lines in, of the two kinds that a helper module may have."""
    windows = [2 * text.count("\r\n") > text.count("\n") for text in users]
    return "\r\n" if 2 * sum(windows) > len(windows) else "\n"


def with_ends(text: str, ends: str) -> str:
    """A text of Unix lines with other line ends."""
    return text.replace("\n", ends)


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


def bound_names(text: str) -> frozenset[str]:
    """The names that a module binds at its top; none where it does not parse."""
    try:
        return _bound_in(text)
    except _NO_MODULE:
        return frozenset()


_NO_MODULE = (OSError, ValueError, SyntaxError, RecursionError, MemoryError)
"""What reading a file in the helper's place raises where it is none."""


def _standing(path: Path) -> str | None:
    """The text of a copy, None where there is none.

    Raises:
        OSError, ValueError: what stands there is no text.
    """
    return read_regular(path).decode("utf-8") if os.path.lexists(path) else None


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
        found |= bound(node)
    return frozenset(found)


@functools.cache
def exported() -> frozenset[str]:
    """The names of xformers' API that a copy can define."""
    tree = ast.parse((FOLDER / "__init__.py").read_text("utf-8"))
    listed = next(n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__")
    return frozenset(ast.literal_eval(listed)) - {"install", "uninstall"}


def assemble(names: Iterable[str], uses: Uses | None = None) -> str:
    """The text of a module that defines these names and everything that they use.

    Args:
        names: of those in `exported`.
        uses: what else the project uses; None keeps all methods and kinds of masks.

    Raises:
        KeyError: a name is not in `exported`.
    """
    names = set(names)
    unknown = names - exported()
    if unknown:
        raise KeyError(*sorted(unknown))
    texts = chosen(names, uses)
    read = _words("\n".join(texts))
    body = _arranged(line for binds, line in sources()[0] if binds & read) + _joined(texts) + "\n"
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


def _joined(texts: Sequence[str]) -> str:
    """Definitions with two blank lines before each, but none between constants of one line."""
    text, tight = "", False
    for index, piece in enumerate(texts):
        constant = "\n" not in piece and not piece.startswith(("def ", "class ", "@"))
        first = "\n" if constant else "\n\n"
        text += (first if index == 0 else "\n" if constant and tight else "\n\n\n") + piece
        tight = constant
    return text


def _words(text: str) -> frozenset[str]:
    """The names that a text reads, quoted ones too."""
    parts = list(ast.walk(ast.parse(text)))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return frozenset(names | {p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)})
