"""Evaluates what code asks about the installed xformers, as if the last release were installed.

`xformers.__version__.startswith("0.0.18")` asks for an old release with a defect, `xops is not None` whether the import
worked. Only a few functions on strings, numbers and versions are known; none of the user's code is run.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

from xf2sdpa.analysis.api import ATTENTION, is_ours
from xf2sdpa.analysis.flow import block_of
from xf2sdpa.analysis.imports import brings_ours
from xf2sdpa.analysis.lookups import looks_up
from xf2sdpa.analysis.names import MODULES, Names, called_name, first_name

LAST_RELEASE = "0.0.35"
_VERSIONS = ("xformers.__version__", "xformers.version.__version__")
_PARSERS = frozenset({"parse", "parse_version", "Version", "LooseVersion", "StrictVersion"})
_OF_STRINGS = frozenset({"startswith", "endswith", "split", "rsplit", "partition", "strip", "lower", "replace"})
_COMPARE: dict[type[ast.cmpop], Callable[[object, object], object]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,  # type: ignore[dict-item]
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,  # type: ignore[dict-item]
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,  # type: ignore[operator]
}  # fmt: skip
_BUILTINS: dict[str, Callable[[object], object]] = {
    "bool": bool, "int": int, "float": float, "str": str, "tuple": tuple, "list": list,  # type: ignore[dict-item]
    "len": len, "any": any, "all": all,  # type: ignore[dict-item]
}  # fmt: skip


class Unanswered(Exception):
    """The expression does not ask about xformers, or its value depends on something else as well."""


class Present:
    """Stands for the imported module itself: not None, and true."""


PRESENT = Present()


class Release(tuple[int, ...]):
    """A parsed version, which compares by its numbers."""

    __slots__ = ()


class Installed:
    """Evaluates such expressions of one module.

    Attributes:
        asked: whether the last expression asked about xformers.
    """

    def __init__(self, names: Names, is_switched: Callable[[ast.Name], bool]) -> None:
        self.names = names
        self.asked = False
        self._is_switched = is_switched
        self._depth = 0

    def answer(self, node: ast.expr) -> object:
        """The value of an expression.

        Raises:
            Unanswered: the value does not depend on the installed xformers, or not only on it.
        """
        self.asked = False
        try:
            value = self._value(node, {})
        except (TypeError, ValueError, IndexError, RecursionError) as error:
            raise Unanswered from error
        if not self.asked:
            raise Unanswered
        return value

    def _value(self, node: ast.expr, local: Mapping[str, object]) -> object:
        if isinstance(node, ast.Constant):
            return node.value
        method = getattr(self, f"_of_{type(node).__name__}", None)
        if method is None:
            raise Unanswered
        found: object = method(node, local)
        return found

    def _of_Name(self, node: ast.Name, local: Mapping[str, object]) -> object:  # noqa: N802
        if node.id in local:
            return local[node.id]
        return self._dotted(node)

    def _of_Attribute(self, node: ast.Attribute, _: Mapping[str, object]) -> object:  # noqa: N802
        return self._dotted(node)

    def _dotted(self, node: ast.Name | ast.Attribute) -> object:
        scope = self.names.scope_at.get(id(node))
        dotted = self.names.resolve(node, scope)
        if dotted in _VERSIONS:
            self.asked = True
            return LAST_RELEASE
        if dotted == "xformers._has_cpp_library":
            self.asked = True
            return True
        handed = isinstance(node, ast.Attribute) and dotted in self.names.meanings.values()
        if dotted in MODULES | {"xformers"} and (handed or not self._may_be_switched(node)):
            self.asked = True
            return PRESENT
        if isinstance(node, ast.Name):
            return self._variable(node)
        raise Unanswered

    def _may_be_switched(self, node: ast.Name | ast.Attribute) -> bool:
        return isinstance(node, ast.Attribute) or self._is_switched(node)

    def _variable(self, node: ast.Name) -> object:
        """The value of a variable that holds a version, `VERSION = xformers.__version__`.

        Other assignments to it may only assign constants, as a fallback does.
        """
        owner = self.names.scope_at[id(node)].owner(node.id)
        bindings = owner.bindings.get(node.id, []) if owner else []
        only = bindings[0].value if len(bindings) == 1 else None
        if isinstance(only, ast.Constant) and isinstance(only.value, str):
            return only.value  # `EXPECTED = "0.0.27"`
        values = [b.value for b in bindings if b.value is not None and not isinstance(b.value, ast.Constant)]
        plain = all(isinstance(b.value, ast.expr) and isinstance(b.node, ast.Assign) for b in bindings)
        if len(values) != 1 or not plain or self._depth > 3:
            raise Unanswered
        asked = next(b.node for b in bindings if b.value is values[0])
        if not all(b.node is asked or self._is_fallback(b.node, asked, node) for b in bindings):
            raise Unanswered
        self._depth += 1
        try:
            value = self._value(values[0], {})
        finally:
            self._depth -= 1
        if not isinstance(value, str | Release | tuple):
            raise Unanswered
        return value

    def _is_fallback(self, constant: ast.AST, asked: ast.AST, read: ast.Name) -> bool:
        """Whether a read never sees a constant where xformers is there: a default above, or for where it is missing."""
        names = self.names
        here = names.function(read) is names.function(asked)
        if here and names.statement(read).lineno <= names.statement(asked).lineno:
            return False
        if names.statement(constant).lineno < names.statement(asked).lineno:
            return True
        around = {id(parent) for parent in names.ancestors(asked)}
        return any(
            isinstance(parent, ast.ExceptHandler) or (isinstance(parent, ast.If) and id(parent) in around)
            for parent in names.ancestors(constant)
        )

    def _of_Call(self, node: ast.Call, local: Mapping[str, object]) -> object:  # noqa: N802
        name = called_name(node.func)
        if looks_up(self.names, node):
            if name not in ("version", "find_spec"):
                raise Unanswered
            self.asked = True
            return LAST_RELEASE if name == "version" else PRESENT
        if name == "get" and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
            key = node.args[0]
            if isinstance(key, ast.Constant) and self._is_loaded_here(node.func.value, key, node):
                self.asked = True
                return PRESENT
        if self._has_api(node):
            self.asked = True
            return True
        arguments = [self._value(argument, local) for argument in node.args]
        if node.keywords:
            raise Unanswered
        if name in _PARSERS and len(arguments) == 1 and isinstance(arguments[0], str):
            return _parsed(arguments[0])
        if isinstance(node.func, ast.Attribute) and name in _OF_STRINGS:
            base = self._value(node.func.value, local)
            if isinstance(base, str):
                return getattr(base, name)(*arguments)
        if isinstance(node.func, ast.Name) and name in _BUILTINS and len(arguments) == 1:
            return _BUILTINS[name](arguments[0])
        raise Unanswered

    def _has_api(self, node: ast.Call) -> bool:
        """`hasattr(xops, "memory_efficient_attention")`, of a name that every release has."""
        if called_name(node.func) != "hasattr" or len(node.args) != 2:
            return False
        module, name = node.args
        given = name.value if isinstance(name, ast.Constant) else None
        first = first_name(module)
        sure = isinstance(first, ast.Name) and not self._is_switched(first)
        return sure and given in ("ops", ATTENTION) and self.names.resolve(module) in MODULES | {"xformers"}

    def _of_Compare(self, node: ast.Compare, local: Mapping[str, object]) -> object:  # noqa: N802
        if len(node.ops) != 1:
            raise Unanswered
        if (held := self._held_where(node)) is not None:
            return held
        left, right = self._value(node.left, local), self._value(node.comparators[0], local)
        if type(node.ops[0]) not in _COMPARE or isinstance(left, Release) != isinstance(right, Release):
            raise Unanswered
        return bool(_COMPARE[type(node.ops[0])](left, right))

    def _held_where(self, node: ast.Compare) -> bool | None:
        """`"xops" in globals()`; `"xformers" in sys.modules` only where it asks how an import before it went."""
        place, name = node.comparators[0], node.left
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            return None
        if not isinstance(node.ops[0], ast.In | ast.NotIn):
            return None
        if isinstance(place, ast.Call) and called_name(place.func) in ("globals", "locals", "vars") and not place.args:
            scopes = (self.names.module, self.names.scopes[id(self.names.function(node))])
            bindings = [binding for s in scopes for binding in s.bindings.get(name.value, ())]
            deleted = self.names.deletions.get(name.value, ())
            switched = self._is_switched(ast.Name(name.value, ast.Load()))
            known = any(is_ours(binding.dotted) for binding in bindings) and not deleted and not switched
        else:
            known = self._is_loaded_here(place, name, node)
        if not known:
            return None
        self.asked = True
        return isinstance(node.ops[0], ast.In)

    def _is_loaded_here(self, place: ast.expr, name: ast.Constant, question: ast.expr) -> bool:
        """Whether `sys.modules` is asked for xformers by a statement that stands behind an import of it in its block.

        Elsewhere it asks what somebody else has loaded, and the answer is not the rewrite's to give.
        """
        if self.names.resolve(place) != "sys.modules" or not is_ours(str(name.value)):
            return False
        statement = self.names.statement(question)
        block = block_of(self.names, statement)
        before = (part for s in block[: block.index(statement)] for part in ast.walk(s))
        return any(isinstance(part, ast.stmt) and brings_ours(part) for part in before)

    def _of_UnaryOp(self, node: ast.UnaryOp, local: Mapping[str, object]) -> object:  # noqa: N802
        if not isinstance(node.op, ast.Not):
            raise Unanswered
        return not self._value(node.operand, local)

    def _of_BoolOp(self, node: ast.BoolOp, local: Mapping[str, object]) -> object:  # noqa: N802
        values = [self._value(value, local) for value in node.values]
        if isinstance(node.op, ast.And):
            return next((value for value in values if not value), values[-1])
        return next((value for value in values if value), values[-1])

    def _of_Tuple(self, node: ast.Tuple, local: Mapping[str, object]) -> object:  # noqa: N802
        return tuple(self._value(element, local) for element in node.elts)

    def _of_List(self, node: ast.List, local: Mapping[str, object]) -> object:  # noqa: N802
        return [self._value(element, local) for element in node.elts]

    def _of_Subscript(self, node: ast.Subscript, local: Mapping[str, object]) -> object:  # noqa: N802
        base = self._value(node.value, local)
        if not isinstance(base, str | tuple | list):
            raise Unanswered
        if isinstance(node.slice, ast.Slice):
            lower, upper, step = map(self._bound(local), (node.slice.lower, node.slice.upper, node.slice.step))
            return base[lower:upper:step]
        index = self._value(node.slice, local)
        if not isinstance(index, int):
            raise Unanswered
        return base[index]

    def _bound(self, local: Mapping[str, object]) -> Callable[[ast.expr | None], int | None]:
        def bound(node: ast.expr | None) -> int | None:
            value = None if node is None else self._value(node, local)
            if not isinstance(value, int | None):
                raise Unanswered
            return value

        return bound

    def _of_GeneratorExp(self, node: ast.GeneratorExp | ast.ListComp, local: Mapping[str, object]) -> object:  # noqa: N802
        (generator, *more) = node.generators
        if more or generator.ifs or not isinstance(generator.target, ast.Name):
            raise Unanswered
        items = self._value(generator.iter, local)
        if not isinstance(items, tuple | list):
            raise Unanswered
        return [self._value(node.elt, {**local, generator.target.id: item}) for item in items]

    _of_ListComp = _of_GeneratorExp  # noqa: N815


def _parsed(text: str) -> Release:
    """The numbers of a version, without trailing zeros; suffixes such as `.dev1` or `+cu121` are ignored."""
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", text, maxsplit=1)[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return Release(numbers)
