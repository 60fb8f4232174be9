"""What all callers in a project pass for a parameter, as far as the project shows it.

Asked for one thing: may a mask that a function takes as a parameter be something other than None? A call counts as
none where it stands in a method that nothing calls, or on a path for lists where no list comes. What is found is true
of this project only; so it is an assumption, and the rewritten code checks it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.tensor_ops import OPERATIONS
from xf2sdpa.model import Unreached
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable
from xf2sdpa.project.uses import Call, Uses

_DEEPEST = 2
"""How many calls up a parameter's value is followed."""
_LONGEST = 12
"""How many methods up it is asked whether anything calls them."""
_PLAIN_BASES = frozenset({"Module", "ModuleList", "Sequential", "object"})
_TENSOR = ("Tensor", "FloatTensor", "LongTensor", "HalfTensor")


class Callers:
    """Answers about the callers of a project's functions.

    Args:
        index: the parsed files of the project.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self._calls: dict[int, list[Call] | Unknowable] = {}
        self._asked: set[tuple[int, str]] = set()
        self._open: set[tuple[int, str]] = set()
        self._known: dict[tuple[int, str], bool] = {}
        self._list_makers: dict[str, bool | None] = {}
        """Whether functions of a name return lists; None where the project has none."""

    def always_none(
        self, file: Parsed, function: FunctionNode, parameter: str, depth: int = 0
    ) -> tuple[Unreached, ...]:
        """That every call of a function in this project leaves a parameter out, passes None for it, or never runs.

        Returns:
            The calls that pass something, and never run.

        Raises:
            Unknowable: the calls cannot all be found, or what one passes is not known; the message says why.
        """
        default = default_of(function, parameter)
        if default is not None and not is_none(default):
            raise Unknowable(f"{function.name} has no None as the default of {parameter}")
        used, found = False, list[Unreached]()
        for call in self.calls_of(file, function):
            beyond = self._passes_none(call, function, parameter, depth)
            if beyond is None and not self._never_runs(call.file, call.node, 0):
                raise Unknowable(f"{call.file.path}:{call.node.lineno} passes {parameter}")
            used |= beyond is not None
            callee = file.names.scopes[id(function)].qualname
            found += [self._unreached(call, callee, parameter)] if beyond is None else beyond
        if not used:  # it is there for others, and what they pass is theirs to say
            raise Unknowable(f"nothing in this project calls {function.name}")
        return tuple(dict.fromkeys(found))

    def _passes_none(
        self, call: Call, function: FunctionNode, parameter: str, depth: int
    ) -> tuple[Unreached, ...] | None:
        """If a call passes None or nothing: the calls further up that pass more and never run; else None."""
        argument = argument_of(call, function, parameter)
        if argument is None or is_none(argument):
            return ()
        if not isinstance(argument, ast.Name) or depth >= _DEEPEST:
            return None
        home = call.file.names.function(argument)
        scope = call.file.names.scope_at[id(argument)].owner(argument.id)
        if not isinstance(home, FunctionNode) or scope is not call.file.names.scopes[id(home)]:
            return None
        if len(scope.bindings[argument.id]) != 1 or argument.id not in parameters_of(home):
            return None
        try:
            return self.always_none(call.file, home, argument.id, depth + 1)
        except Unknowable:
            return None

    def _unreached(self, call: Call, callee: str, parameter: str) -> Unreached:
        """A call that never runs, with why that is."""
        names, file = call.file.names, Path(call.file.path).name
        functions = [n for n in names.ancestors(call.node) if isinstance(n, FunctionNode)]
        home = next(
            (n for n in functions if call.file.owner(n) is not None), functions[-1]
        )  # of a method's own function
        for_list = self._is_for_list(call.file, call.node, set())
        return Unreached(file, call.node.lineno, names.scopes[id(home)].qualname, callee, parameter, for_list)

    def _is_for_list(self, file: Parsed, node: ast.AST, asked: set[int]) -> bool:
        """Whether a place that never runs is one for lists, in its function or where all calls of that one stand."""
        child = node
        for around in file.names.ancestors(node):
            if isinstance(around, ast.If) and child in around.body and self._is_path_for_lists(file, around, 0):
                return True
            if isinstance(around, FunctionNode) and id(around) not in asked and self._is_never_called(file, around, 0):
                asked.add(id(around))
                calls = self.calls_of(file, around)
                return bool(calls) and all(self._is_for_list(c.file, c.node, asked) for c in calls)
            child = around
        return False

    # -- calls -------------------------------------------------------------------------------------

    def calls_of(self, file: Parsed, function: FunctionNode) -> list[Call]:
        """Every call of a function: of a class's objects for its `forward`, by name for other methods.

        Raises:
            Unknowable: it is called in a way that is not followed.
        """
        if id(function) not in self._calls:
            try:
                self._calls[id(function)] = self._found_calls(file, function)
            except Unknowable as reason:
                self._calls[id(function)] = reason
            except RecursionError:
                self._calls[id(function)] = Unknowable("what it is used in nests too deep")
        found = self._calls[id(function)]
        if isinstance(found, Unknowable):
            raise found
        return found

    def _found_calls(self, file: Parsed, function: FunctionNode) -> list[Call]:
        owner = file.owner(function)
        if owner is not None and function.name == "forward":
            return self._calls_of_objects(file, owner)
        if owner is not None and function.name.startswith("__"):
            raise Unknowable(f"{function.name} is called by Python or by a library")
        return Uses(self.index).of_function(file, function).calls

    def _calls_of_objects(self, file: Parsed, owner: ast.ClassDef) -> list[Call]:
        self._check_is_module(file, owner)
        self.index.check_no_model_is_loaded()
        uses = Uses(self.index).of_class(file, owner)
        found = list(uses.calls)
        for home, klass in uses.derived:
            if klass is not owner:
                found += [Call(home, node) for node in _calls_of_super(klass)]
        return found

    def _check_is_module(self, file: Parsed, owner: ast.ClassDef, depth: int = 0) -> None:
        """Check that a class is a plain module of torch, so that only calls of its objects run `forward`.

        Raises:
            Unknowable: a base class of another library may call it.
        """
        for klass in file.class_attributes.lineage(owner):
            for base in klass.bases:
                name = ast.unparse(base).rpartition(".")[2]
                if file.class_attributes.local_class(base) is not None or name in _PLAIN_BASES:
                    continue
                found = [(home, c) for home in self.index.holding(name) for c in home.classes.get(name, ())]
                if not found or any(other is owner for _, other in found) or depth > _DEEPEST:
                    raise Unknowable(f"{klass.name} derives from {name}, which may call it")
                for home, other in found:
                    self._check_is_module(home, other, depth + 1)

    # -- what never runs ---------------------------------------------------------------------------

    def never_runs(self, file: Parsed, node: ast.AST) -> bool:
        """Whether a place is reached in no run of the project, for all that it shows."""
        return self._never_runs(file, node, 0)

    def _settled(self, key: tuple[int, str], answer: Callable[[], bool], *, meanwhile: bool) -> bool:
        """The answer to a question, found once; `meanwhile` is what it counts as where it asks for itself."""
        if key in self._known:
            return self._known[key]
        if key in self._asked:
            self._open.add(key)
            return meanwhile
        self._asked.add(key)
        try:
            found = answer()
        except (Unknowable, RecursionError):
            found = not meanwhile
        finally:
            self._asked.discard(key)
            self._open.discard(key)
        if not self._open:  # else it rests on a question that has no answer yet
            self._known[key] = found
        return found

    def _never_runs(self, file: Parsed, node: ast.AST, depth: int) -> bool:
        """Whether a place is reached in no run of the project, for all that it shows."""
        child = node
        for around in file.names.ancestors(node):
            if isinstance(around, ast.If) and child in around.body and self._is_path_for_lists(file, around, depth):
                return True
            if isinstance(around, FunctionNode) and self._is_never_called(file, around, depth):
                return True
            child = around
        return False

    def _is_never_called(self, file: Parsed, function: FunctionNode, depth: int) -> bool:
        """Whether a method is called by nothing but what never runs itself.

        A public one that nothing calls at all is there for others to call; `forward` is not, as it goes with objects.
        """
        owner = file.owner(function)
        if owner is None or depth > _LONGEST:
            return False

        def answer() -> bool:
            if function.name != "forward":
                self._check_is_module(file, owner)
            calls = self.calls_of(file, function)
            own = function.name == "forward" or function.name.startswith("_")
            return (bool(calls) or own) and all(self._never_runs(c.file, c.node, depth + 1) for c in calls)

        return self._settled((id(function), "(called)"), answer, meanwhile=True)

    def _is_path_for_lists(self, file: Parsed, choice: ast.If, depth: int) -> bool:
        """Whether `if isinstance(x, list):` never holds: no caller passes a list for the parameter `x`."""
        name = _asked_for_list(choice.test)
        function = file.names.function(choice)
        if name is None or not isinstance(function, FunctionNode) or name not in parameters_of(function):
            return False
        return not self._is_given_list(file, function, name, depth, for_others=False)

    def _may_be_list(self, file: Parsed, node: ast.expr | None, depth: int) -> bool:
        """Whether an expression may be a list; in doubt, it may."""
        if node is None or depth > _LONGEST:
            return node is not None
        if isinstance(node, ast.Call):
            return self._may_return_list(file, node)
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare | ast.Constant):
            return any(isinstance(part, ast.List | ast.ListComp) for part in ast.walk(node))
        if isinstance(node, ast.IfExp):
            return any(self._may_be_list(file, part, depth + 1) for part in (node.body, node.orelse))
        if isinstance(node, ast.Subscript):
            return not isinstance(node.slice, ast.Slice | ast.Tuple)
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
                if not _is_tensor(binding.node.annotation) and self._is_given_list(file, home, node.id, depth + 1):
                    return True
                continue
            statement = file.names.statement(binding.node)
            if (
                not isinstance(statement, ast.AugAssign)
                and not _unpacks_shape(statement)
                and (binding.value is None or self._may_be_list(file, binding.value, depth + 1))
            ):
                return True
        return False

    def _is_settled_before(self, file: Parsed, function: FunctionNode, node: ast.Name, depth: int) -> bool:
        """Whether a parameter is no list any more where it is read: assigned anew, or lists have left the function."""
        for statement in function.body:
            if statement.lineno >= node.lineno:
                return False
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
        if depth > _LONGEST:
            return True
        if _is_unpacked(function, parameter):
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

    def _may_return_list(self, file: Parsed, call: ast.Call) -> bool:
        """Whether a call may give a list: not one of torch's, of a tensor's method, of a module or of a plain function.

        A module is taken to make no list of what is none.
        """
        function, name = call.func, called_name(call.func)
        if name not in self._list_makers:
            found = (
                [(home, f) for home in self.index.holding(name) for f in home.functions.get(name, ())] if name else []
            )
            lists = any(_is_list(home, value) for home, f in found for value in _returned(home, f))
            self._list_makers[name] = lists if found else None
        known = self._list_makers[name]
        if known is not None:
            return known
        dotted = file.names.resolve(function)
        if dotted:
            return not dotted.startswith("torch.")
        if isinstance(function, ast.Name):  # a variable; a name that nothing binds is one of Python's own
            return file.names.scope_at[id(function)].owner(function.id) is None
        of_self = isinstance(function, ast.Attribute) and ast.unparse(function.value).partition(".")[0] == "self"
        return not of_self and name not in OPERATIONS


def default_of(function: FunctionNode, parameter: str) -> ast.expr | None:
    """The default of a parameter; None if it has none."""
    arguments = function.args
    listed = [*arguments.posonlyargs, *arguments.args]
    pairs = [*zip(reversed(listed), reversed(arguments.defaults), strict=False)]
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
    return next((default for argument, default in pairs if argument.arg == parameter), None)


def parameters_of(function: FunctionNode) -> list[str]:
    """The names of a function's parameters, without `*args` and `**kwargs`."""
    arguments = function.args
    return [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def argument_of(call: Call, function: FunctionNode, parameter: str) -> ast.expr | None:
    """What a call passes for a parameter; None if nothing.

    Raises:
        Unknowable: arguments are unpacked.
    """
    node = call.node
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        raise Unknowable(f"{call.file.path}:{node.lineno} unpacks its arguments")
    for keyword in node.keywords:
        if keyword.arg == parameter:
            return keyword.value
    listed = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    decorators = {called_name(d) for d in function.decorator_list}
    if listed[:1] == ["self"] and "staticmethod" not in decorators:
        listed = listed[1:]
    if parameter not in listed or listed.index(parameter) >= len(node.args):
        return None
    return node.args[listed.index(parameter)]


def _calls_of_super(klass: ast.ClassDef) -> Iterator[ast.Call]:
    for node in ast.walk(klass):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "forward":
            base = node.func.value
            if isinstance(base, ast.Call) and called_name(base.func) == "super":
                yield node


def _asked_for_list(test: ast.expr) -> str | None:
    """The variable that `isinstance(x, list)` asks about; a tuple of types may hold others."""
    if not (isinstance(test, ast.Call) and called_name(test.func) == "isinstance" and len(test.args) == 2):
        return None
    kind = test.args[1]
    is_list = isinstance(kind, ast.Name) and kind.id == "list"
    return test.args[0].id if is_list and isinstance(test.args[0], ast.Name) else None


def is_none(node: ast.expr | None) -> bool:
    """Whether an expression is None, written out."""
    return isinstance(node, ast.Constant) and node.value is None


def _is_tensor(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'\"").rpartition(".")[2] in _TENSOR


def _is_unpacked(function: FunctionNode, parameter: str) -> bool:
    """Whether a function in any case reads what a list does not have of a parameter: `b, c, h, w = x.shape`."""
    if any(
        isinstance(node, ast.Call) and called_name(node.func) == "isinstance" and _names_it(node.args[:1], parameter)
        for node in ast.walk(function)
    ):
        return False
    plain = (statement for statement in function.body if isinstance(statement, ast.Assign | ast.Expr | ast.AnnAssign))
    reads = (node for statement in plain for node in ast.walk(statement) if isinstance(node, ast.Attribute))
    asked = (node.value for node in reads if node.attr in ("shape", "ndim", "dtype", "device"))
    return any(_names_it([value], parameter) for value in asked)


def _names_it(nodes: list[ast.expr], name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _unpacks_shape(node: ast.AST) -> bool:
    """Whether a statement takes sizes apart, so that what it binds are numbers."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape"


def _returned(file: Parsed, function: FunctionNode) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None and file.names.function(node) is function:
            yield node.value


def _is_list(file: Parsed, node: ast.expr) -> bool:
    """Whether an expression is a list: written as one, or a variable that one is assigned to."""
    if isinstance(node, ast.List | ast.ListComp) or (isinstance(node, ast.Call) and called_name(node.func) == "list"):
        return True
    if isinstance(node, ast.Name):
        scope = file.names.scope_at[id(node)].owner(node.id)
        values = [b.value for b in scope.bindings[node.id] if b.value is not None] if scope is not None else []
        return any(isinstance(value, ast.List | ast.ListComp) for value in values)
    return False
