"""Who else reads a name that an import binds: other files, `__all__`, strings, calls that stay."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from xf2sdpa.analysis.names import called_name
from xf2sdpa.edits.kinds import CallEdit, ReplaceExpression, ReplaceStatement
from xf2sdpa.project.handed_on import ANY
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.quoted import is_quoted, quoted_types

_TAKING_NAMES = frozenset({"getattr", "hasattr", "setattr", "delattr", "eval", "exec"})
_BY_NAME = _TAKING_NAMES | {"globals", "locals", "vars"}


def is_reexported(file: FileDraft, name: str, *, used: bool = False) -> bool:
    """Whether somebody else reads a name. What an `__init__.py` imports and does not use itself, it hands on."""
    handed = file.path.endswith("__init__.py") and not used
    return name in file.handed_on or handed or is_quoted(file, name) or is_named(file, name)


def is_attribute(file: FileDraft, name: str) -> bool:
    """Whether some file may read a name as an attribute of an object or a class."""
    read = rf"""\.\s*{re.escape(name)}\b|["']{re.escape(name)}["']"""
    return name in file.elsewhere or re.search(read, file.text) is not None


def is_named(file: FileDraft, name: str) -> bool:
    """Whether a string that stays is a name where it stands: `__all__`, `"xops" in globals()`, `getattr(m, "xops")`."""
    return any(not file.is_gone(constant) for constant in _naming(file).get(name, ()))


def is_looked_up(file: FileDraft, name: str) -> bool:
    """Whether a variable of the module may be read by its name as a string, in any file; the string may be computed."""
    handed = name in file.handed_on or ANY in file.handed_on or name in file.elsewhere
    return handed or is_named(file, name) or _computes_names(file)


@functools.lru_cache(maxsize=2)
def _computes_names(file: FileDraft) -> bool:
    """Whether the file reads variables of its module by names that it computes: `globals()[f"_HAVE_{kind}"]`."""
    names = file.names
    for word in ("globals", "locals", "vars", "dir", "eval", "exec"):
        for call in (names.parents[id(load)] for load in names.loads.get(word, ())):
            first = call.args[0] if isinstance(call, ast.Call) and call.args else None
            inner = word == "locals" and names.function(call) is not file.tree
            other = word in ("vars", "dir") and first is not None and not _is_own_module(first)
            plain = word in ("eval", "exec") and isinstance(first, ast.Constant)
            if not (inner or other or plain or _is_given_a_name(file, call)):
                return True
    return any(_is_own_module(node) and not _is_given_a_name(file, node) for node in names.parsed.of(ast.Subscript))


def _is_own_module(node: ast.AST) -> bool:
    """`sys.modules[__name__]`, or its dictionary."""
    node = node.value if isinstance(node, ast.Attribute) and node.attr == "__dict__" else node
    return isinstance(node, ast.Subscript) and getattr(node.slice, "id", "") == "__name__"


def _is_given_a_name(file: FileDraft, node: ast.AST) -> bool:
    """Whether a use of `globals()` and the like reads variables only by names that are written out, or reads none."""
    parent = file.names.parents[id(node)]
    if isinstance(parent, ast.Attribute):
        if parent.attr == "__dict__":
            return _is_given_a_name(file, parent)
        called = file.names.parents[id(parent)]
        taken = called.args[:1] if isinstance(called, ast.Call) and called.func is parent else []
        return _is_own_module(node) or (bool(taken) and isinstance(taken[0], ast.Constant)) or parent.attr == "update"
    if isinstance(parent, ast.Call) and called_name(parent.func) in _TAKING_NAMES and len(parent.args) > 1:
        return isinstance(parent.args[1], ast.Constant)
    if isinstance(parent, ast.Call) and called_name(parent.func) == "vars":
        return _is_given_a_name(file, parent)
    inside = isinstance(parent, ast.Compare) and isinstance(parent.left, ast.Constant)
    return inside or (isinstance(parent, ast.Subscript) and isinstance(parent.slice, ast.Constant))


@functools.lru_cache(maxsize=2)
def _naming(file: FileDraft) -> dict[str, list[ast.Constant]]:
    """The strings that name each variable, as they were."""
    found: dict[str, list[ast.Constant]] = {}
    types = set(map(id, quoted_types(file)))
    for constant in file.names.strings:
        text = constant.value
        if isinstance(text, str) and id(constant) not in types and _names_something(file, constant):
            for name in {text, text.partition(".")[0].rpartition("[")[2]}:
                found.setdefault(name, []).append(constant)
    return found


@functools.lru_cache(maxsize=2)
def _looks_names_up(file: FileDraft) -> bool:
    """Whether the file reads a variable by a name that it computes."""
    for call in (c for c in file.names.calls if isinstance(c.func, ast.Name) and c.func.id in _BY_NAME):
        if not any(isinstance(argument, ast.Constant) for argument in call.args[:2]):
            return True
    return False


def _names_something(file: FileDraft, node: ast.Constant) -> bool:
    for parent in file.names.ancestors(node):  # pragma: no branch - a string stands in a statement
        if isinstance(parent, ast.Subscript) and _is_of_variables(parent.value):
            return True
        if isinstance(parent, ast.Call):
            if isinstance(parent.func, ast.Attribute) and _is_of_variables(parent.func.value):
                names = ast.walk(parent.args[0]) if parent.args else ()
                return parent.func.attr != "update" and any(part is node for part in names)
            listed = isinstance(parent.func, ast.Attribute) and getattr(parent.func.value, "id", "") == "__all__"
            by_name = called_name(parent.func) == "attrgetter"
            return listed or by_name or getattr(parent.func, "id", "") in _TAKING_NAMES
        if isinstance(parent, ast.Compare):
            return any(isinstance(side, ast.Call) for side in parent.comparators)
        if isinstance(parent, ast.Assign | ast.AugAssign):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            return any(getattr(target, "id", "") == "__all__" for target in targets)
        if isinstance(parent, ast.arguments | ast.AnnAssign):  # `kind="xformers"` mostly is a choice, not a name
            return _looks_names_up(file)
        if isinstance(parent, ast.stmt):
            break
    return False


def _is_of_variables(node: ast.expr) -> bool:
    """`globals()`, `vars(module)`, `module.__dict__`: what holds variables by their names."""
    by_call = isinstance(node, ast.Call) and called_name(node.func) in ("globals", "locals", "vars")
    return by_call or (isinstance(node, ast.Attribute) and node.attr == "__dict__")


def is_compared(file: FileDraft, node: ast.expr) -> bool:
    """Whether a class is only held against the class of something, or is part of a type."""
    inner: ast.AST = node
    for parent in file.names.ancestors(node):
        if isinstance(parent, ast.Call):
            return called_name(parent.func) in ("isinstance", "issubclass")
        if isinstance(parent, ast.Subscript) and inner is parent.slice:
            return True
        if isinstance(parent, ast.Compare | ast.arg | ast.AnnAssign):
            return not (isinstance(parent, ast.AnnAssign) and inner is parent.value)
        if isinstance(parent, ast.stmt):
            return inner is getattr(parent, "returns", None)
        inner = parent
    return False  # pragma: no cover - an expression stands in a statement


def is_written(file: FileDraft, name: str) -> bool:
    """Whether a name stands in a text that an edit writes."""
    return any(re.search(rf"\b{re.escape(name)}\b", text) for text in _new_texts(file))


def _new_texts(file: FileDraft) -> Iterator[str]:
    for edit in file.edits:
        if isinstance(edit, ReplaceExpression | ReplaceStatement):
            yield edit.text
        elif isinstance(edit, CallEdit):
            yield edit.function
            yield from (argument.text for argument in edit.arguments.values())
