"""Import statements, the guards around them, and what guards contain: look-ups of the package, messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from typing import TypeGuard

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.effects import may_fail
from xf2sdpa.analysis.flow import loads_of, reached_loads
from xf2sdpa.analysis.names import Names, called_name, dotted_name
from xf2sdpa.analysis.scopes import Scope

ImportNode = ast.Import | ast.ImportFrom
GuardNode = ast.Try | ast.If | ast.With
IMPORTING = ("import_module", "__import__")
"""Functions that import a package by its name, which may fail as an import does."""
_LOOKUPS = ("version", "distribution", "get_distribution", "find_spec", *IMPORTING)
_ASKING = frozenset({"warnings", "packaging", "importlib", "importlib_metadata", "pkg_resources"})
_SAYING = frozenset(
    {"print", "warn", "warning", "info", "debug", "error", "exception", "warning_once", "print_exc", "print_exception"}
)
_SAYERS = re.compile(r"log|warn|console|accelerator|rank_?zero|tqdm|traceback", re.IGNORECASE)
"""What an object is called that tells people what its methods are told; any other may keep it, or count."""
_WORDING = frozenset(
    {"format", "join", "str", "repr", "len", "type", "upper", "lower", "strip", "getattr", "hasattr", "colored", "get",
     "getenv", "getLogger", "get_logger", "format_exc", "exc_info", "version", "basename", "dirname", "abspath",
     "is_available", "device_count", "get_device_name", "get_device_capability",
     "bool", "int", "float", "tuple", "list", "any", "all", "parse", "Version", "LooseVersion", "parse_version",
     "split", "startswith", "endswith", "replace", "group", "isinstance", "find_spec", "exists", "system"}
)  # fmt: skip
"""Functions that make words and do nothing else: one of another name may count, or take something from a list."""


def alias_name(alias: ast.alias) -> str:
    """The alias of an imported name if it has one, else its full name."""
    return alias.asname or alias.name


def bound_name(statement: ImportNode, alias: ast.alias) -> str:
    """The variable that an import binds for one of its names."""
    if alias.asname:
        return alias.asname
    return alias.name.partition(".")[0] if isinstance(statement, ast.Import) else alias.name


def whole_name(statement: ImportNode, alias: ast.alias) -> str:
    """The dotted path that an import takes a name from."""
    if isinstance(statement, ast.Import):
        return alias.name
    return "." * statement.level + f"{statement.module}.{alias.name}"


def brings_ours(statement: ast.stmt) -> bool:
    """Whether a statement imports something from xformers."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return False
    return any(is_ours(whole_name(statement, alias)) for alias in statement.names)


def serves_questions(dotted: str) -> bool:
    """Whether a module serves to look up releases or to warn of them.

    Its import may be dropped once nothing uses it any more because a question about xformers was removed.
    """
    return dotted.partition(".")[0] in _ASKING


def scope_of(names: Names, statement: ast.stmt) -> Scope:
    """The scope in which a statement binds names."""
    node = next(parent for parent in names.ancestors(statement) if id(parent) in names.scopes)
    return names.scopes[id(node)]


def loads_from(names: Names, statement: ImportNode, name: str) -> list[ast.Name]:
    """The reads of a name that may see what an import binds to it.

    Reads of a parameter of the same name do not count: `def f(xformers): if xformers: import xformers.ops`.
    """
    owner = scope_of(names, statement)
    owner = owner.elsewhere.get(name, owner)
    if any(isinstance(binding.node, ast.arg) for binding in owner.bindings.get(name, ())):
        reached = reached_loads(names, name, statement)
        if reached is not None:
            return reached
    return loads_of(names, name, owner)


def guards_around(names: Names, statement: ast.stmt) -> list[GuardNode]:
    """Every `try`, `if` and `with suppress(…)` of the same function that a statement depends on, outermost first."""
    found: list[GuardNode] = []
    for parent in names.ancestors(statement):  # pragma: no branch - the last is the module
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            break
        if isinstance(parent, ast.Try | ast.If) or is_suppressing(parent):
            found.append(parent)
    return found[::-1]


def is_suppressing(node: ast.AST) -> TypeGuard[ast.With]:
    """Whether a statement is `with suppress(…):`, which acts as a `try` whose `except` passes."""
    if not isinstance(node, ast.With) or len(node.items) != 1:
        return False
    context = node.items[0].context_expr
    return isinstance(context, ast.Call) and called_name(context.func) == "suppress"


def outermost_guard(names: Names, statement: ast.stmt) -> GuardNode | None:
    """The outermost of the guards around a statement."""
    return next(iter(guards_around(names, statement)), None)


def is_message(statement: ast.stmt) -> bool:
    """Whether a statement prints, warns or logs."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    return called_name(statement.value.func) in _SAYING


def only_says(statement: ast.stmt, modules: Collection[str] = ()) -> bool:
    """Whether a statement prints, warns or logs, and nothing that its words are made of does more, or fails.

    `events.info("fast")` may keep what it is told: only of a logger, by its name, is it known that it does not, and of
    a function of a module, one of these names.
    """
    if not is_message(statement):
        return False
    call = statement.value  # type: ignore[attr-defined]
    if isinstance(call.func, ast.Attribute) and not (
        _is_sayer(call.func.value) or dotted_name(call.func.value) in modules
    ):
        return False
    words = (call.func, *call.args, *(keyword.value for keyword in call.keywords))
    return all(map(makes_words, words)) and not any(map(may_fail, words))


def _is_sayer(node: ast.expr) -> bool:
    name = called_name(node.func if isinstance(node, ast.Call) else node)
    return _SAYERS.search(name) is not None


def makes_words(expression: ast.expr) -> bool:
    """Whether an expression only reads, and calls nothing but functions that are known to do no more."""
    for node in ast.walk(expression):
        if isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
            return False
        if isinstance(node, ast.Call):
            name = called_name(node.func)
            if name not in _WORDING and not name.endswith(("Warning", "Error", "Exception")):
                return False
    return True


def is_lookup(call: ast.Call) -> bool:
    """Whether a call asks the installation about xformers: `importlib.metadata.version("xformers")`."""
    first = call.args[0] if len(call.args) == 1 else None
    named = isinstance(first, ast.Constant) and isinstance(first.value, str) and is_ours(first.value)
    return named and called_name(call.func) in _LOOKUPS
