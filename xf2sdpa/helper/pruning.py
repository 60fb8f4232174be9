"""The sources of `xf2sdpa.compat` in pieces, and those that a copy needs.

A piece is a definition at the top of a module. Within one, two kinds of parts can be left out: a method that nothing
calls by its name, and a statement whose first line ends with `# for NAME…`, which is there for these alone. A public
method that is left out stays as a name that raises a TypeError, which tells how to get it back.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "compat"
_MODULES = ("kernels", "sequences", "masks", "packed_masks", "attention", "ops")
_MARK = re.compile(r"  # for ([\w ]+)$")
_LEFT_OUT = "_left_out"
TENSORS, GROUPS, OWN_MASKS = "tensor_masks", "shared_key_heads", "masks_of_users"
"""Named by marks: what is there for tensor masks, for heads that share a key head, and for a user's mask classes."""
_WIDTH = 120


@dataclass
class Part:
    """Lines of a piece that go together, and the parts in them that can be left out on their own.

    Attributes:
        first, last: the lines, 1-based, both included.
        wanted_by: the names of which one must be needed; none for a part that is always there.
        reads: the names that the lines read, without those of the parts in them.
        attributes: the attributes that they read.
        method: the name of the method that it is, if it is one.
    """

    first: int
    last: int
    wanted_by: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    method: str = ""
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True)
class Piece:
    """One top-level definition: the names it binds, its lines, its bases if it is a class."""

    binds: frozenset[str]
    whole: Part
    lines: Sequence[str] = field(repr=False)
    bases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Uses:
    """What a project uses of the helper besides the names that it imports: words of its files, `TENSORS`, `GROUPS`.

    `masks` are the classes whose xformers' namesakes files may hand to the helper's operator, which converts them.
    """

    words: frozenset[str]
    masks: frozenset[str] = frozenset()


def chosen(names: Collection[str], uses: Uses | None) -> list[str]:
    """The texts of the pieces that define some names and all that they use.

    Args:
        names: what the copy must define.
        uses: what else is used; None keeps all parts of each piece.
    """
    pieces = sources()[1]
    needed, attributes = set(names), set(uses.words if uses is not None else ())
    if needed & {"AttentionBias", "AttentionMask"}:
        needed.add(OWN_MASKS)
    while True:
        kept = [
            part for piece in pieces if piece.binds & needed for part in _kept(piece.whole, needed, attributes, uses)
        ]
        more = set().union(*(part.reads for part in kept)) - needed
        seen = set().union(*(part.attributes for part in kept)) - attributes
        if not more and not seen:
            break
        needed |= more
        attributes |= seen
    wanted = [piece for piece in pieces if piece.binds & needed]
    stubs = _stubs(wanted, needed, attributes, uses)
    if any(stubs.values()) and _LEFT_OUT not in needed:
        return chosen({*names, _LEFT_OUT}, uses)
    return [_text(piece, needed, attributes, uses, stubs.get(id(piece), [])) for piece in wanted]


def _is_kept(part: Part, needed: Collection[str], attributes: Collection[str], uses: Uses | None) -> bool:
    if uses is None or not part.wanted_by:
        return True
    if part.method:
        return part.method in attributes
    return not part.wanted_by.isdisjoint(needed) or not part.wanted_by.isdisjoint(attributes)


def _kept(part: Part, needed: Collection[str], attributes: Collection[str], uses: Uses | None) -> Iterator[Part]:
    """A part and those in it that stay."""
    if _is_kept(part, needed, attributes, uses):
        yield part
        for inner in part.parts:
            yield from _kept(inner, needed, attributes, uses)


def _stubs(
    wanted: Sequence[Piece], needed: Collection[str], attributes: Collection[str], uses: Uses | None
) -> dict[int, list[str]]:
    """The public methods of each class that are left out, and that no class above it has."""
    by_name = {name: piece for piece in wanted for name in piece.binds}
    missing = {
        id(piece): [p.method for p in piece.whole.parts if p.method and not _is_kept(p, needed, attributes, uses)]
        for piece in wanted
    }

    def above(piece: Piece) -> set[str]:
        bases = [by_name[base] for base in piece.bases if base in by_name]
        return {name for base in bases for name in {*missing[id(base)], *above(base)}}

    return {id(p): [n for n in missing[id(p)] if not n.startswith("_") and n not in above(p)] for p in wanted}


def _text(
    piece: Piece, needed: Collection[str], attributes: Collection[str], uses: Uses | None, stubs: Sequence[str]
) -> str:
    gone: set[int] = set()
    waiting = [piece.whole]
    while waiting:
        part = waiting.pop()
        if _is_kept(part, needed, attributes, uses):
            waiting += part.parts
        else:
            gone.update(range(part.first, part.last + 1))
            blank = part.first - 1
            while part.method and not piece.lines[blank - 1].strip():
                gone.add(blank)
                blank -= 1
    kept = [n for n in range(piece.whole.first, piece.whole.last + 1) if n not in gone]
    text = "\n".join(_MARK.sub("", piece.lines[number - 1]) for number in kept).rstrip("\n")
    return text + ("\n" + _stub_lines(stubs) if stubs else "")


def _stub_lines(names: Sequence[str]) -> str:
    """`first = second = _left_out`, on as many lines as it takes."""
    lines: list[str] = []
    for name in names:
        if lines and len(f"{lines[-1]} = {name} = {_LEFT_OUT}") <= _WIDTH:
            lines[-1] += f" = {name}"
        else:
            lines.append(f"    {name}")
    return "\n" + "\n".join(f"{line} = {_LEFT_OUT}" for line in lines)


@functools.cache
def methods() -> frozenset[str]:
    """The names of all methods that a copy may do without."""
    return frozenset(part.method for piece in sources()[1] for part in piece.whole.parts if part.method)


@functools.cache
def sources() -> tuple[tuple[tuple[frozenset[str], str], ...], tuple[Piece, ...]]:
    """The import lines with the names that each binds, and all definitions in order."""
    imports: dict[str, frozenset[str]] = {}
    pieces: list[Piece] = []
    for name in _MODULES:
        text = (FOLDER / f"{name}.py").read_text("utf-8")
        lines = text.splitlines()
        previous = 0
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.update(_import_lines(node))
            elif binds := bound(node):
                whole = _part(node, lines, _first_line(lines, previous, node))
                bases = [base.id for base in getattr(node, "bases", ()) if isinstance(base, ast.Name)]
                pieces.append(Piece(binds, whole, lines, tuple(bases)))
            previous = node.end_lineno or node.lineno
    return tuple((names, line) for line, names in imports.items()), tuple(pieces)


def _part(node: ast.stmt, lines: Sequence[str], first: int, wanted_by: frozenset[str] = frozenset()) -> Part:
    """A statement with the parts in it that can be left out."""
    part = Part(first, node.end_lineno or node.lineno, wanted_by)
    inner: list[ast.stmt] = []
    waiting: list[ast.AST] = list(ast.iter_child_nodes(node))
    while waiting:
        child = waiting.pop(0)
        mark = _MARK.search(lines[child.lineno - 1]) if isinstance(child, ast.stmt) else None
        method = isinstance(child, ast.FunctionDef) and _is_ours_alone(node) and not _is_special(child.name)
        if isinstance(child, ast.stmt) and (mark or method):
            names = frozenset(mark[1].split()) if mark else frozenset({child.name})  # type: ignore[attr-defined]
            start = min([child.lineno, *(d.lineno for d in getattr(child, "decorator_list", ()))])
            found = _part(child, lines, start, names)
            found.method = "" if mark else child.name  # type: ignore[attr-defined]
            part.parts.append(found)
            inner.append(child)
        else:
            waiting += ast.iter_child_nodes(child)
    part.reads, part.attributes = _read(node, inner)
    return part


def _is_ours_alone(node: ast.stmt) -> bool:
    """Whether a class has methods that nothing calls but code which names them: not a module of torch's."""
    return isinstance(node, ast.ClassDef) and not any(isinstance(base, ast.Attribute) for base in node.bases)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _read(node: ast.AST, without: Collection[ast.AST]) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a definition reads, also those in quoted annotations, and the attributes; not those of parts."""
    names: set[str] = set()
    attributes: set[str] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Name):
            names.add(part.id)
        elif isinstance(part, ast.Attribute):
            attributes.add(part.attr)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
            names.add(part.value)
            attributes.update({part.value} if part.value.startswith("_") else ())  # getattr(mask, "_attend", …)
        waiting += [child for child in ast.iter_child_nodes(part) if child not in without]
    return frozenset(names), frozenset(attributes)


def _import_lines(node: ast.Import | ast.ImportFrom) -> dict[str, frozenset[str]]:
    """One import line per name, with the names that it binds, so that each can be left out separately."""
    if isinstance(node, ast.ImportFrom):
        if node.module == "__future__" or (node.module or "").startswith("xf2sdpa"):
            return {}
        return {ast.unparse(ast.ImportFrom(node.module, [a], 0)): frozenset({a.asname or a.name}) for a in node.names}
    return {ast.unparse(ast.Import([a])): frozenset({(a.asname or a.name).partition(".")[0]}) for a in node.names}


def bound(node: ast.stmt) -> frozenset[str]:
    """The names that a definition binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return frozenset({node.name})
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return frozenset(target.id for target in targets if isinstance(target, ast.Name))


def _first_line(lines: Sequence[str], previous: int, node: ast.stmt) -> int:
    """The first line of a definition with its decorators and the comments directly above it."""
    first: int = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    while first - 1 > previous and lines[first - 2].startswith("#"):
        first -= 1  # pragma: no cover - no comment stands so in the sources today
    return first
