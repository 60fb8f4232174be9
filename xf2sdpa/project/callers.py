"""What all callers in a project pass for a parameter, as far as the project shows it.

The question is always the same: may a mask that a function takes as a parameter be something other than None? A call
does not count if it is never reached: in a method that nothing calls, or on a path for lists where no list comes. What
is found is true of this project only; so it is an assumption, and the rewritten code checks it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from xf2sdpa.analysis.names import called_name
from xf2sdpa.model import Unreached
from xf2sdpa.project.arguments import Call, argument_of, default_of, is_none, parameters_of
from xf2sdpa.project.contexts import check_decorators
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable
from xf2sdpa.project.lineage import CALLED_BY_TORCH, calls_of_super, check_is_module, lineage
from xf2sdpa.project.lists import LONGEST, Lists
from xf2sdpa.project.uses import Uses

_DEEPEST = 2
"""How many calls up a parameter's value is followed."""


class Callers(Lists):
    """Answers about the callers of a project's functions.

    Args:
        index: the parsed files of the project.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self._calls: dict[int, list[Call] | Unknowable] = {}
        self._in_sequence: set[int] = set()
        self._asked: set[tuple[int, str]] = set()
        self._open: set[tuple[int, str]] = set()
        self._known: dict[tuple[int, str], bool] = {}
        self._list_makers: dict[str, bool | None] = {}
        self._passed_on: dict[int, set[str]] = {}

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

    def passes_what_it_shows(self, file: Parsed, function: FunctionNode) -> bool:
        """Whether each call that `calls_of` finds gives a function what it passes.

        A call of a container gives its first part what it passes, and the others what the parts before them return.
        """
        self.calls_of(file, function)
        return id(file.owner(function)) not in self._in_sequence

    def _found_calls(self, file: Parsed, function: FunctionNode) -> list[Call]:
        owner = file.owner(function)
        if owner is not None and _first(function) != "self":
            raise Unknowable(f"the first parameter of {function.name} is not self, line {function.lineno}")
        if owner is not None and function.name == "forward":
            check_decorators(file, function)
            return self._calls_of_objects(file, owner)
        if owner is not None and function.name.startswith("__"):
            raise Unknowable(f"{function.name} is called by Python or by a library")
        return Uses(self.index).of_function(file, function).calls

    def _calls_of_objects(self, file: Parsed, owner: ast.ClassDef) -> list[Call]:
        check_is_module(self.index, file, owner)
        self.index.check_no_model_is_loaded()
        uses = Uses(self.index).of_class(file, owner)
        found = list(uses.calls)
        if uses.in_sequence:
            self._in_sequence.add(id(owner))
        own = {id(base) for _, base in lineage(self.index, file, owner)}
        for home, klass in uses.derived:
            if klass is not owner:
                check_is_module(self.index, home, klass)
                for beside, base in lineage(self.index, home, klass):  # a base beside it may stand before it
                    if id(base) not in own:
                        found += [Call(beside, node) for node in calls_of_super(beside, base)]
        return found

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
        if owner is None or depth > LONGEST or function.name in CALLED_BY_TORCH:
            return False

        def answer() -> bool:
            if function.name != "forward":
                check_is_module(self.index, file, owner)
            calls = self.calls_of(file, function)
            own = function.name == "forward" or function.name.startswith("_")
            return (bool(calls) or own) and all(self._never_runs(c.file, c.node, depth + 1) for c in calls)

        return self._settled((id(function), "(called)"), answer, meanwhile=True)


def _first(function: FunctionNode) -> str:
    """The name of a method's first parameter; `self` for a static one, which has none of its own."""
    if any(called_name(d) == "staticmethod" for d in function.decorator_list):
        return "self"
    return next((a.arg for a in (*function.args.posonlyargs, *function.args.args)), "")
