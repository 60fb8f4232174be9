"""The classes that a class derives from, in whichever file, and whether only calls of its objects run its `forward`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.names import called_name
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable

_PLAIN_BASES = frozenset({"Module", "ModuleList", "Sequential", "object"})
_REGISTERING = frozenset({"__init_subclass__", "__class_getitem__"})
_CALLING = frozenset({"__call__", "_call_impl", "_wrapped_call_impl", "_slow_forward", "__getattribute__"})
"""Methods that may give `forward` other arguments than those of the call."""
CALLED_BY_TORCH = frozenset(
    {"_apply", "_load_from_state_dict", "_save_to_state_dict", "_get_name", "_named_members", "_version",
     "_replicate_for_data_parallel", "_get_backward_hooks", "_maybe_warn_non_full_backward_hook"} | _CALLING
)  # fmt: skip
"""Private methods that torch's own `Module` calls."""
_FOR_ALL = ("register_module_forward_pre_hook", "__subclasses__")
"""What reaches every module, or every class, whatever its name."""


def lineage(index: Index, file: Parsed, owner: ast.ClassDef) -> Iterator[tuple[Parsed, ast.ClassDef]]:
    """A class and all that it may derive from in the project, by their names, with their files."""
    seen: set[int] = set()
    waiting = [(file, owner)]
    while waiting:
        home, klass = waiting.pop(0)
        if id(klass) in seen:
            continue
        seen.add(id(klass))
        yield home, klass
        for base in klass.bases:
            waiting += _classes(index, home, base)


def check_is_module(index: Index, file: Parsed, owner: ast.ClassDef) -> None:
    """Check that a class is a plain module of torch, so that only calls of its objects run `forward`.

    Raises:
        Unknowable: a base class of another library may call it; it is registered, or made by something else; a base
            gives `forward` what a call does not; something reaches all modules or classes.
    """
    for word in _FOR_ALL:
        if found := index.project.holding(word):
            raise Unknowable(f"{found[0]} names {word}, which reaches {owner.name} too")
    for home, klass in lineage(index, file, owner):
        if klass.keywords:
            raise Unknowable(f"{klass.name} is registered or made by something else, line {klass.lineno}")
        for base in klass.bases:
            if not _is_plain(index, home, base) and not _classes(index, home, base):
                raise Unknowable(f"{klass.name} derives from {ast.unparse(base)}, which may call it")
        for method in (part for part in klass.body if isinstance(part, FunctionNode)):
            if method.name in _REGISTERING | _CALLING:
                raise Unknowable(f"{klass.name} has a {method.name}, line {method.lineno}")


def foreign_bases(index: Index, file: Parsed, owner: ast.ClassDef) -> set[str]:
    """The names of the classes that a class derives from and that neither the project nor torch's plain ones have."""
    bases = [(home, base) for home, klass in lineage(index, file, owner) for base in klass.bases]
    foreign = (b for home, b in bases if not _is_plain(index, home, b) and not _classes(index, home, b))
    return {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in foreign}


def calls_of_super(file: Parsed, klass: ast.ClassDef) -> Iterator[ast.Call]:
    """The calls of `super().forward` in a class.

    Raises:
        Unknowable: `super()` or its `forward` is handed on.
    """
    for node in ast.walk(klass):
        if not (isinstance(node, ast.Call) and called_name(node.func) == "super"):
            continue
        parent = file.names.parents[id(node)]
        if not isinstance(parent, ast.Attribute):
            raise Unknowable(f"{file.path}:{node.lineno} hands super() on")
        if parent.attr not in ("forward", "__call__"):
            continue
        call = file.names.parents[id(parent)]
        if not (isinstance(call, ast.Call) and call.func is parent):
            raise Unknowable(f"{file.path}:{node.lineno} hands super().{parent.attr} on")
        yield call


def is_foreign(index: Index, file: Parsed, dotted: str) -> bool:
    """Whether a dotted path is of another library."""
    if not dotted:
        return False
    bare = dotted.lstrip(".")
    parts = bare.split(".")
    graph, dots = index.project.graph, len(dotted) - len(bare)
    return all(graph.module(file.path, dots, ".".join(parts[:n])) is None for n in range(len(parts), 0, -1))


def _is_plain(index: Index, file: Parsed, base: ast.expr) -> bool:
    """Whether a base is one of torch's plain modules, by its name; another library's `Module` is not."""
    if ast.unparse(base).rpartition(".")[2] not in _PLAIN_BASES:
        return False
    dotted = file.names.resolve(base) or ""
    return not dotted or dotted.startswith((".", "torch.")) or bool(_classes(index, file, base))


def _classes(index: Index, file: Parsed, base: ast.expr) -> list[tuple[Parsed, ast.ClassDef]]:
    """The classes of the project that a base may stand for."""
    local = file.class_attributes.local_class(base)
    if local is not None:
        return [(file, local)]
    name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
    if name in _PLAIN_BASES or is_foreign(index, file, file.names.resolve(base) or ""):
        return []
    return [(home, klass) for home in index.holding(name) for klass in home.classes.get(name, ())]
