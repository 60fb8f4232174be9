"""Whether a path for lists of tensors, `if isinstance(x, list):`, is ever taken in a project."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.scopes import Binding
from xf2sdpa.analysis.tensor_ops import OPERATIONS
from xf2sdpa.project.arguments import Call, argument_of, parameters_of
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable

LONGEST = 12
"""How many functions up such questions are asked."""
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_TENSOR = ("Tensor", "FloatTensor", "LongTensor", "HalfTensor")


class Lists:
    """Answers about lists; `Callers` knows the calls, and what never runs.

    Attributes:
        index: the parsed files of the project.
    """

    index: Index
    _list_makers: dict[str, bool | None]
    """Whether functions of a name return lists; None where the project has none."""
    _passed_on: dict[int, set[str]]
    """The parameters that functions return as they came."""

    if TYPE_CHECKING:

        def calls_of(self, file: Parsed, function: FunctionNode) -> list[Call]:
            """Every call of a function."""

        def _never_runs(self, file: Parsed, node: ast.AST, depth: int) -> bool: ...
        def _settled(self, key: tuple[int, str], answer: Callable[[], bool], *, meanwhile: bool) -> bool: ...

    def _is_path_for_lists(self, file: Parsed, choice: ast.If, depth: int) -> bool:
        """Whether `if isinstance(x, list):` never holds: no caller passes a list for the parameter `x`."""
        name = _asked_for_list(choice.test)
        function = file.names.function(choice)
        if name is None or not isinstance(function, FunctionNode) or name not in parameters_of(function):
            return False
        if self._is_made_list_before(file, function, choice, name, depth):
            return False
        return not self._is_given_list(file, function, name, depth, for_others=False)

    def _is_made_list_before(
        self, file: Parsed, function: FunctionNode, place: ast.stmt, name: str, depth: int
    ) -> bool:
        """Whether a function may itself put a list in the place of its parameter before a statement."""
        for binding in file.names.scopes[id(function)].bindings[name]:
            if isinstance(binding.node, ast.arg):
                continue
            statement = file.names.statement(binding.node)
            if _reaches(file, statement, place, function) and self._may_bind_list(file, binding, statement, depth):
                return True
        return False

    def _may_bind_list(self, file: Parsed, binding: Binding, statement: ast.stmt, depth: int) -> bool:
        """Whether a name may be bound to a list by a statement; `x += y` leaves it what it is."""
        if isinstance(statement, ast.AugAssign) or _unpacks_shape(statement):
            return False
        return binding.value is None or self._may_be_list(file, binding.value, depth + 1)

    def _may_be_list(self, file: Parsed, node: ast.expr | None, depth: int) -> bool:
        """Whether an expression may be a list; in doubt, it may."""
        if node is None or depth > LONGEST:
            return node is not None
        if isinstance(node, ast.Call):
            return self._may_return_list(file, node, depth)
        if isinstance(node, ast.BinOp):
            return any(_is_list(file, part) or isinstance(part, ast.List | ast.ListComp) for part in _expressions(node))
        if isinstance(node, ast.UnaryOp | ast.Compare | ast.Constant):
            return False
        if isinstance(node, ast.IfExp):
            return any(self._may_be_list(file, part, depth + 1) for part in (node.body, node.orelse))
        if isinstance(node, ast.Subscript):
            whole = isinstance(node.slice, ast.Slice)  # a part of a list is a list; of a tensor, a tensor
            return self._may_be_list(file, node.value, depth + 1) if whole else not isinstance(node.slice, ast.Tuple)
        if not isinstance(node, ast.Name):
            return True
        return self._name_may_be_list(file, node, depth)

    def _name_may_be_list(self, file: Parsed, node: ast.Name, depth: int) -> bool:
        scope = file.names.scope_at[id(node)].owner(node.id)
        home = scope.node if scope is not None else None
        if scope is None or not isinstance(home, FunctionNode):
            return True
        for binding in scope.bindings[node.id]:
            if isinstance(binding.node, ast.arg):
                if self._is_settled_before(file, home, node, depth):
                    continue
                if _is_tensor(binding.node.annotation):
                    if self._is_certainly_given_list(file, home, node.id):
                        return True
                elif self._is_given_list(file, home, node.id, depth + 1):
                    return True
                continue
            statement = file.names.statement(binding.node)
            if _reaches(file, statement, node, home) and self._may_bind_list(file, binding, statement, depth):
                return True
        return False

    def _is_certainly_given_list(self, file: Parsed, function: FunctionNode, parameter: str) -> bool:
        """Whether a call that is seen passes what is a list, though the parameter is annotated as a tensor."""
        try:
            calls = self.calls_of(file, function)
        except Unknowable:
            return False
        return any(_is_list(call.file, argument) for call in calls for argument in _seen_in(call, function, parameter))

    def _is_settled_before(self, file: Parsed, function: FunctionNode, node: ast.Name, depth: int) -> bool:
        """Whether a parameter is no list any more where it is read: assigned anew, or lists have left the function."""
        before = itertools.takewhile(lambda s: (s.end_lineno or s.lineno) < node.lineno, function.body)
        for statement in before:
            asks = isinstance(statement, ast.If) and _asked_for_list(statement.test) == node.id
            if isinstance(statement, ast.If) and asks and isinstance(statement.body[-1], ast.Return | ast.Raise):
                return True
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                assigned = isinstance(target, ast.Name) and target.id == node.id
                if assigned and not self._may_be_list(file, statement.value, depth + 1):
                    return True
        return False

    def _is_given_list(
        self, file: Parsed, function: FunctionNode, parameter: str, depth: int, *, for_others: bool = True
    ) -> bool:
        """Whether a caller may pass a list; with `for_others`, also where nothing here calls the function."""
        if depth > LONGEST:
            return True
        if _is_unpacked(file, function, parameter):
            return False

        def answer() -> bool:
            calls = self.calls_of(file, function)
            return (for_others and not calls) or any(
                not self._never_runs(call.file, call.node, depth + 1)
                and self._may_be_list(call.file, argument_of(call, function, parameter), depth + 1)
                for call in calls
            )

        # what only hands itself on brings no list
        return self._settled((id(function), f"{parameter} {for_others}"), answer, meanwhile=False)

    def _may_return_list(self, file: Parsed, call: ast.Call, depth: int) -> bool:
        """Whether a call may give a list: not one of torch's, of a tensor's method, of a module or of a plain function.

        A module that is none of the project's is taken to make no list of what is none.
        """
        function, name = call.func, called_name(call.func)
        known = self._returns_list(name)
        if known is not None:
            return known or any(
                self._may_be_list(file, argument_of(Call(file, call), taker, parameter), depth + 1)
                for home, taker in self._functions(name)
                for parameter in self._handed_on(home, taker, depth)
            )
        dotted = file.names.resolve(function)
        if dotted:
            return not dotted.startswith("torch.")
        if isinstance(function, ast.Name):  # a variable; a name that nothing binds is one of Python's own
            scope = file.names.scope_at[id(function)].owner(function.id)
            return scope is None or any(
                b.value is not None and self._makes_lists(b.value) for b in scope.bindings[function.id]
            )
        if not isinstance(function, ast.Attribute) or ast.unparse(function.value).partition(".")[0] != "self":
            return name not in OPERATIONS
        owner = next((n for n in file.names.ancestors(call) if isinstance(n, ast.ClassDef)), None)
        made = file.class_attributes.assigned(owner, name) if owner is not None else []
        return any(self._makes_lists(part) for part in made)

    def _returns_list(self, name: str) -> bool | None:
        """Whether a function of the project of that name returns a list; None where there is none."""
        if name not in self._list_makers:
            found = self._functions(name)
            self._list_makers[name] = False if found else None  # one that only calls itself returns none
            lists = any(self._gives_list(file, value) for file, f in found for value in _returned(file, f))
            self._list_makers[name] = lists if found else None
        return self._list_makers[name]

    def _functions(self, name: str) -> list[tuple[Parsed, FunctionNode]]:
        """The functions of the project of a name, each with its file."""
        return [(f, function) for f in self.index.holding(name) for function in f.functions.get(name, ())]

    def _handed_on(self, file: Parsed, function: FunctionNode, depth: int) -> set[str]:
        """The parameters that a function may return as they came: any, as long as that is being found out."""
        if id(function) not in self._passed_on:
            self._passed_on[id(function)] = set(parameters_of(function))
            values = [*_returned(file, function)]
            found = set().union(*(self._parameters_in(file, function, value, depth) for value in values))
            self._passed_on[id(function)] = found
        return self._passed_on[id(function)]

    def _parameters_in(self, file: Parsed, function: FunctionNode, node: ast.expr | None, depth: int) -> set[str]:
        """The parameters of a function that an expression in it may be; all of them where it is followed no farther."""
        if node is None or depth > LONGEST:
            return set() if node is None else set(parameters_of(function))
        further: list[ast.expr | None] = []
        found = set()
        if isinstance(node, ast.IfExp | ast.BoolOp):
            further += [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
        elif isinstance(node, ast.Call):
            further += [
                argument_of(Call(file, node), taker, parameter)
                for home, taker in self._functions(called_name(node.func))
                for parameter in self._handed_on(home, taker, depth + 1)
            ]
        elif isinstance(node, ast.Name) and node.id in file.names.scopes[id(function)].bindings:
            for binding in file.names.scopes[id(function)].bindings[node.id]:
                if not isinstance(binding.node, ast.arg):
                    further.append(binding.value)
                elif not self._is_settled_before(file, function, node, depth):
                    found.add(node.id)
        return found.union(*(self._parameters_in(file, function, part, depth + 1) for part in further))

    def _gives_list(self, file: Parsed, node: ast.expr) -> bool:
        """Whether an expression is a list for all that the project shows: by a function or an attribute, too."""
        if isinstance(node, ast.IfExp | ast.BoolOp):
            parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
            return any(self._gives_list(file, part) for part in parts)
        if isinstance(node, ast.Attribute):
            stored = (file.names.parents[id(n)] for n in file.attributes[node.attr] if isinstance(n.ctx, ast.Store))
            return any(isinstance(s, ast.Assign | ast.AnnAssign) and _is_list(file, s.value) for s in stored)
        called = called_name(node.func) if isinstance(node, ast.Call) else ""
        return _is_list(file, node) or (bool(called) and bool(self._returns_list(called)))

    def _makes_lists(self, made: ast.expr) -> bool:
        """Whether what an expression makes, or holds, is a module of the project whose `forward` returns lists."""
        names = {called_name(node.func) for node in ast.walk(made) if isinstance(node, ast.Call)}
        return any(
            isinstance(method, FunctionNode)
            and method.name == "forward"
            and any(_is_list(home, value) for value in _returned(home, method))
            for name in names - {""}
            for home in self.index.holding(name)
            for klass in home.classes.get(name, ())
            for method in klass.body
        )


def _seen_in(call: Call, function: FunctionNode, parameter: str) -> list[ast.expr]:
    """What a call passes for a parameter, if anything, as far as it is seen."""
    try:
        argument = argument_of(call, function, parameter)
    except Unknowable:
        return []
    return [] if argument is None else [argument]


def _reaches(file: Parsed, statement: ast.stmt, place: ast.expr | ast.stmt, function: FunctionNode) -> bool:
    """Whether what a statement of a function binds may be read at a place: below it, or anywhere in a loop."""
    if file.names.function(place) is not function:
        return True
    around = itertools.takewhile(lambda node: node is not function, file.names.ancestors(place))
    if any(isinstance(node, _LOOPS) for node in around):
        return True
    here = file.names.statement(place)
    return (statement.lineno, statement.col_offset) < (here.lineno, here.col_offset)


def _asked_for_list(test: ast.expr) -> str | None:
    """The variable that `isinstance(x, list)` asks about; a tuple of types may hold others."""
    if not (isinstance(test, ast.Call) and called_name(test.func) == "isinstance" and len(test.args) == 2):
        return None
    kind = test.args[1]
    is_list = isinstance(kind, ast.Name) and kind.id == "list"
    return test.args[0].id if is_list and isinstance(test.args[0], ast.Name) else None


def _is_tensor(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'\"").rpartition(".")[2] in _TENSOR


def _is_unpacked(file: Parsed, function: FunctionNode, parameter: str) -> bool:
    """Whether a function in any case reads what a list does not have of a parameter: `b, c, h, w = x.shape`."""
    if any(
        isinstance(node, ast.Call) and called_name(node.func) == "isinstance" and _names_it(node.args[:1], parameter)
        for node in ast.walk(function)
    ):
        return False
    bindings = file.names.scopes[id(function)].bindings[parameter]
    others = [file.names.statement(b.node).lineno for b in bindings if not isinstance(b.node, ast.arg)]
    body = [s for s in function.body if s.lineno <= min(others, default=s.lineno)]
    plain = (statement for statement in body if isinstance(statement, ast.Assign | ast.Expr | ast.AnnAssign))
    reads = (node for statement in plain for node in ast.walk(statement) if isinstance(node, ast.Attribute))
    asked = (node.value for node in reads if node.attr in ("shape", "ndim", "dtype", "device"))
    return any(_names_it([value], parameter) for value in asked)


def _names_it(nodes: list[ast.expr], name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _expressions(node: ast.BinOp) -> Iterator[ast.expr]:
    """What is added or multiplied: `a`, `b` and `c` of `a + b * c`."""
    for side in (node.left, node.right):
        if isinstance(side, ast.BinOp):
            yield from _expressions(side)
        else:
            yield side


def _unpacks_shape(node: ast.AST) -> bool:
    """Whether a statement takes sizes apart, so that what it binds are numbers."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape"


def _returned(file: Parsed, function: FunctionNode) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None and file.names.function(node) is function:
            yield node.value


def _is_list(file: Parsed, node: ast.expr | None) -> bool:
    """Whether an expression is a list: written as one, or a variable that one is assigned to."""
    if isinstance(node, ast.List | ast.ListComp) or (isinstance(node, ast.Call) and called_name(node.func) == "list"):
        return True
    if isinstance(node, ast.Name):
        scope = file.names.scope_at[id(node)].owner(node.id)
        values = [b.value for b in scope.bindings[node.id] if b.value is not None] if scope is not None else []
        return any(isinstance(value, ast.List | ast.ListComp) for value in values)
    return False
