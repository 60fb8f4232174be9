"""What becomes of a class, a function or an object where it is read: one method for each kind of syntax around it.

Each says whether it can follow the thing there; what none can follow makes the whole answer unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.project.arguments import default_of, taken_out_of_keywords
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable
from xf2sdpa.project.lineage import foreign_bases, is_foreign

_QUESTIONS = frozenset(
    {"super", "isinstance", "issubclass", "type", "hasattr", "len", "id", "print", "repr", "str", "bool"}
)
_PASSING = frozenset({"enumerate", "zip", "reversed", "list", "tuple", "iter", "sorted", "next", "set"})
GIVEN_SELF = frozenset({"super", "setattr", "__init__", "__setattr__", "save_hyperparameters"})
_CONTAINERS = frozenset({"ModuleList", "Sequential"})
_FILLING = frozenset({"append", "extend", "insert"})
_SAME_OBJECT = frozenset(
    {"eval", "train", "cuda", "cpu", "to", "half", "float", "double", "bfloat16", "requires_grad_", "values", "items",
     "get", "pop", "copy"}
)  # fmt: skip
"""Methods that return the object, or one out of a container."""
_HANDING_OUT = frozenset(
    {"register_forward_pre_hook", "_forward_pre_hooks", "__dict__", "__class__", "register_module", "add_module",
     "__call__"}
)  # fmt: skip
"""What gives an object's parts to somebody, or changes what a call of it gets."""
PARTS = ("modules", "named_modules", "children", "named_children", "get_submodule")
"""What goes through the parts of a module, whichever they are."""
_KEEPING = frozenset(
    {"ABC", "Generic", "Protocol", "NamedTuple", "ConfigMixin", "ModelMixin", "PyTorchModelHubMixin", "PreTrainedModel",
     "LightningModule", "LightningDataModule", "Dataset", "Callback", "Exception", "Enum"}
)  # fmt: skip
"""Classes of other libraries that call no attribute which a class of ours adds."""
_PAIRING = frozenset({"named_modules", "named_children", "enumerate", "items"})
"""What pairs each thing with its name or number."""
_OF_A_CLASS = frozenset(
    {"__name__", "__module__", "__doc__", "__qualname__", "items", "values", "get", "keys", "append"}
)
_IDLE = (ast.If, ast.While, ast.Assert, ast.UnaryOp, ast.Expr, ast.Delete, ast.FormattedValue)
"""Where nothing becomes of an expression: a comparison, a condition, a statement of its own."""
_HARMLESS_DECORATORS = frozenset(
    {"staticmethod", "torch.no_grad", "torch.inference_mode", "no_grad", "override", "abstractmethod", "torch.compile",
     "torch.autocast", "torch.amp.autocast", "torch.cuda.amp.autocast", "torch.jit.ignore", "torch.jit.export",
     "torch.compiler.disable", "torch._dynamo.disable", "typing.override", "typing_extensions.override",
     "abc.abstractmethod"}
)  # fmt: skip


class Contexts:
    """Follows expressions to what they stand in; `Uses` keeps the places that hold the thing.

    Attributes:
        index: the parsed files.
    """

    index: Index
    in_sequence: bool
    _returning: set[str]
    _given: list[tuple[Parsed, ast.Call, int]]

    if TYPE_CHECKING:

        def _hold(self, file: Parsed, name: str, scope: Scope, level: int) -> None: ...
        def _hold_attribute(self, name: str, level: int) -> None: ...
        def _define(self, file: Parsed, node: FunctionNode | ast.ClassDef, level: int) -> None: ...
        def _derive(self, file: Parsed, node: ast.ClassDef) -> None: ...
        def _count(self, file: Parsed, call: ast.Call) -> None: ...

    # -- what becomes of it where it is read -------------------------------------------------------

    def _use(self, file: Parsed, node: ast.expr, level: int) -> None:
        """Follow an expression that holds the thing to what it stands in.

        Raises:
            Unknowable: that is not followed.
        """
        parent = file.names.parents[id(node)]
        handler: Callable[[Parsed, ast.AST, ast.expr, int], bool] | None = getattr(
            self, f"_in_{type(parent).__name__.lower()}", None
        )
        if handler is not None and handler(file, parent, node, level):
            return
        if handler is None and isinstance(parent, _IDLE):
            return
        if _is_annotation(file, node):
            if level > 1:
                self._annotates(file, node)
            return
        line = getattr(node, "lineno", 0)
        raise Unknowable(f"{file.path}:{line} hands on {ast.unparse(node)}")

    def _annotates(self, file: Parsed, node: ast.expr) -> None:
        """Count as an object of a class what is annotated as one, or as a class what is `type[…]`."""
        child: ast.AST = node
        level = 1
        for parent in file.names.ancestors(node):  # pragma: no branch - an annotation stands in a statement
            if isinstance(parent, ast.Subscript) and called_name(parent.value) in ("type", "Type"):
                level = 2
            if isinstance(parent, ast.arg):
                self._hold(file, parent.arg, file.names.scopes[id(file.names.function(parent))], level)
            elif isinstance(parent, ast.AnnAssign) and isinstance(parent.target, ast.Name):
                self._target(file, parent.target, level)
            elif isinstance(parent, FunctionNode) and parent.returns is child:
                self._define(file, parent, level + 1)
            if isinstance(parent, ast.arg | ast.stmt):
                return
            child = parent

    def _in_compare(self, file: Parsed, parent: ast.Compare, node: ast.expr, level: int) -> bool:
        """`type(x) is Class` asks whether x is an object of it."""
        for side in (parent.left, *parent.comparators):
            if level > 1 and isinstance(side, ast.Call) and called_name(side.func) == "type" and len(side.args) == 1:
                self._asked_for(file, side.args[0])
        return True

    def _asked_for(self, file: Parsed, node: ast.expr) -> None:
        """Count as an object of a class what is asked whether it is one."""
        if isinstance(node, ast.Attribute):
            self._hold_attribute(node.attr, 1)
        elif isinstance(node, ast.Name) and (owner := file.names.scope_at[id(node)].owner(node.id)) is not None:
            self._hold(file, node.id, owner, 1)

    def _in_attribute(self, file: Parsed, parent: ast.Attribute, node: ast.expr, level: int) -> bool:
        call = file.names.parents[id(parent)]
        is_called = isinstance(call, ast.Call) and call.func is parent
        if isinstance(parent.ctx, ast.Store):
            return parent.attr not in ("forward", "__call__", "__class__")
        if parent.attr in _HANDING_OUT:
            return False
        if level > 1:
            if parent.attr in ("get", "values", "items") and isinstance(call, ast.Call) and is_called:
                self._use(file, call, level)
            return parent.attr in _OF_A_CLASS
        if parent.attr == "forward":
            if isinstance(call, ast.Call) and is_called:
                self._count(file, call)
            return is_called
        if parent.attr in (*_SAME_OBJECT, *PARTS) and isinstance(call, ast.Call) and is_called:
            self._use(file, call, level)
        return True

    def _in_call(self, file: Parsed, parent: ast.Call, node: ast.expr, level: int) -> bool:
        if parent.func is not node:
            return self._as_argument(file, parent, node, level)
        if level > 1:
            self._use(file, parent, level - 1)
        else:
            self._count(file, parent)
        return True

    def _as_argument(self, file: Parsed, call: ast.Call, node: ast.expr, level: int) -> bool:
        name, dotted = called_name(call.func), file.names.resolve(call.func) or ""
        if isinstance(call.func, ast.Name) and not dotted:
            if name == "type" and (level == 1 or len(call.args) > 1):
                self._use(file, call, 2)  # its class, or one that derives from it
                return len(call.args) == 1
            if name == "isinstance" and level > 1:
                self._asked_for(file, call.args[0])
            if name in _QUESTIONS:
                return True
            if name in _PASSING:
                self._use(file, call, level)
                return True
        if dotted == "functools.partial" and call.args[0] is node:
            if level == 1 and len(call.args) + len(call.keywords) > 1:
                return False  # its calls do not show all that the thing is given
            self._use(file, call, level)
            return True
        if dotted.startswith("torch.nn.") and name in _CONTAINERS:
            self.in_sequence |= name == "Sequential"
            self._use(file, call, level)
            return True
        if self._fills_own_container(name, level):
            self._use(file, call, level)
            return True
        if isinstance(call.func, ast.Attribute) and name in _FILLING:
            self.in_sequence |= "Sequential" in self.index.project.text(file.path)
            return self._target(file, call.func.value, level)
        if name == "getattr" and call.args[0] is node and len(call.args) > 1:
            return isinstance(call.args[1], ast.Constant) and call.args[1].value not in {"forward", *_HANDING_OUT}
        if self._is_foreign(file, dotted) or isinstance(node, ast.Starred) or is_parameter(file, call.func):
            return False
        if name == "__init__" and self._is_kept_by_a_library(file, call):
            return False
        self._give(file, call, level)
        return self._into_parameter(name, call.args.index(node), level)

    def _give(self, file: Parsed, call: ast.Call, level: int) -> None:
        """Follow the result of a call that is given it, if the called function returns what it is given."""
        self._given.append((file, call, level))
        function = call.func
        if file.names.resolve(function) == "functools.partial" and call.args:
            function = call.args[0]
        if called_name(function) in self._returning or is_parameter(file, function):
            self._use(file, call, level)

    def _fills_own_container(self, name: str, level: int) -> bool:
        """Whether a name is of a class of the project that derives from torch's `ModuleList` and adds no `__init__`.

        Its objects hold what they are made of, and so does `self` in its methods.
        """
        found = [(file, klass) for file in self.index.holding(name) for klass in file.classes.get(name, ())]
        for file, klass in found:
            bases = {(file.names.resolve(base) or "").rpartition(".")[2] for base in klass.bases}
            methods = [f for f in klass.body if isinstance(f, FunctionNode)]
            if not bases & _CONTAINERS or any(method.name == "__init__" for method in methods):
                return False
            self.in_sequence |= "Sequential" in bases
            for method in methods:
                self._hold(file, "self", file.names.scopes[id(method)], level)
        return bool(found)

    def _is_kept_by_a_library(self, file: Parsed, call: ast.Call) -> bool:
        """Whether `super().__init__(parts)` may hand its arguments to a class of another library."""
        klass = next((p for p in file.names.ancestors(call) if isinstance(p, ast.ClassDef)), None)
        bases = [file.names.resolve(base) or "" for base in klass.bases] if klass is not None else []
        return any(self._is_foreign(file, base) for base in bases)

    def _into_parameter(self, name: str, position: int, level: int) -> bool:
        """Count a positional argument as held by the parameter of every function of that name; whether there is any."""
        takers = self._takers(name)
        for file, function in takers:
            if any("singledispatch" in ast.dump(decorator) for decorator in function.decorator_list):
                return False  # it may be given to any function that is registered there
            bound = file.owner(function) is not None
            listed = [*function.args.posonlyargs, *function.args.args][int(bound) :]
            if position >= len(listed):
                return False
            self._hold(file, listed[position].arg, file.names.scopes[id(function)], level)
        return bool(takers)

    def _is_foreign(self, file: Parsed, dotted: str) -> bool:
        return is_foreign(self.index, file, dotted)

    def _in_keyword(self, file: Parsed, parent: ast.keyword, node: ast.expr, level: int) -> bool:
        call = file.names.parents[id(parent)]
        if parent.arg is None or not isinstance(call, ast.Call):
            return False
        dotted = file.names.resolve(call.func) or ""
        if dotted != "functools.partial" and (self._is_foreign(file, dotted) or dotted == "dict"):
            return False
        by_name = dotted != "functools.partial" and not is_parameter(file, call.func)
        takers = self._takers(called_name(call.func)) if by_name else []
        if called_name(call.func) == "dict" or (takers and not any(parent.arg in _parameters(f) for _, f in takers)):
            return False
        self._enter_parameters(parent.arg, {keyword.arg for keyword in call.keywords if keyword.arg}, level)
        self._give(file, call, level)
        return True

    def _takers(self, name: str) -> list[tuple[Parsed, FunctionNode]]:
        """The functions of a name, and what classes of that name are made with."""
        found = []
        for file in self.index.holding(name):
            methods = [f for klass in file.classes.get(name, ()) for f in klass.body if isinstance(f, FunctionNode)]
            inits = [method for method in methods if method.name == "__init__"]
            found += [(file, function) for function in (*file.functions.get(name, ()), *inits)]
        return found

    def _in_assign(self, file: Parsed, parent: ast.Assign, node: ast.expr, level: int) -> bool:
        return all(self._target(file, target, level) for target in parent.targets)

    def _in_annassign(self, file: Parsed, parent: ast.AnnAssign, node: ast.expr, level: int) -> bool:
        return parent.value is node and self._target(file, parent.target, level)

    def _in_augassign(self, file: Parsed, parent: ast.AugAssign, node: ast.expr, level: int) -> bool:
        return self._target(file, parent.target, level)

    def _in_namedexpr(self, file: Parsed, parent: ast.NamedExpr, node: ast.expr, level: int) -> bool:
        self._use(file, parent, level)
        return self._target(file, parent.target, level)

    def _in_for(self, file: Parsed, parent: ast.For, node: ast.expr, level: int) -> bool:
        return self._target(file, _of_items(parent.iter, parent.target), level)

    def _in_comprehension(self, file: Parsed, parent: ast.comprehension, node: ast.expr, level: int) -> bool:
        return parent.iter is not node or self._target(file, _of_items(parent.iter, parent.target), level)

    def _target(self, file: Parsed, target: ast.expr, level: int) -> bool:
        """Count the target of an assignment as a holder; whether it can be."""
        if isinstance(target, ast.Name):
            # an annotation alone (`part: Part`) binds nothing, so that its name stands in no scope
            scope = file.names.scope_at.get(id(target)) or self._scope_of(file, target)
            owner = scope.owner(target.id) or scope
            self._hold(file, target.id, owner, level)
            return True
        if isinstance(target, ast.Attribute):
            self._hold_attribute(target.attr, level)
            return self._stays_ours(file, target)
        if isinstance(target, ast.Tuple | ast.List):
            return all(self._target(file, element, level) for element in target.elts)
        if isinstance(target, ast.Starred | ast.Subscript):
            return self._target(file, target.value, level)
        return False

    def _stays_ours(self, file: Parsed, target: ast.Attribute) -> bool:
        """Whether what an attribute is set to is called by the project alone: not one of another library's objects."""
        if not (isinstance(target.value, ast.Name) and target.value.id == "self"):
            return False
        klass = next((node for node in file.names.ancestors(target) if isinstance(node, ast.ClassDef)), None)
        return klass is None or not foreign_bases(self.index, file, klass) - _KEEPING

    @staticmethod
    def _scope_of(file: Parsed, node: ast.AST) -> Scope:
        """The scope around a node."""
        return next(file.names.scopes[id(p)] for p in file.names.ancestors(node) if id(p) in file.names.scopes)

    def _in_subscript(self, file: Parsed, parent: ast.Subscript, node: ast.expr, level: int) -> bool:
        if parent.value is not node or not isinstance(parent.ctx, ast.Load):
            return parent.value is node and self._stored_in(parent)
        self._use(file, parent, level)
        return True

    @staticmethod
    def _stored_in(parent: ast.Subscript) -> bool:
        """`blocks[0] = other`: the container goes on to be what it was, a holder."""
        return isinstance(parent.ctx, ast.Store | ast.Del)

    def _around(self, file: Parsed, parent: ast.expr, node: ast.expr, level: int) -> bool:
        self._use(file, parent, level)
        return True

    _in_starred = _in_list = _in_tuple = _in_set = _in_boolop = _in_listcomp = _in_generatorexp = _around

    def _in_binop(self, file: Parsed, parent: ast.BinOp, node: ast.expr, level: int) -> bool:
        """Lists are joined and repeated."""
        return isinstance(parent.op, ast.Add | ast.Mult) and self._around(file, parent, node, level)

    def _in_ifexp(self, file: Parsed, parent: ast.IfExp, node: ast.expr, level: int) -> bool:
        return parent.test is node or self._around(file, parent, node, level)

    def _in_dict(self, file: Parsed, parent: ast.Dict, node: ast.expr, level: int) -> bool:
        return node in parent.values and self._around(file, parent, node, level)

    def _in_return(self, file: Parsed, parent: ast.Return, node: ast.expr, level: int) -> bool:
        function = file.names.function(node)
        if not isinstance(function, FunctionNode) or (function.name.startswith("__") and function.name.endswith("__")):
            return False
        decorated = [called_name(d.func if isinstance(d, ast.Call) else d) for d in function.decorator_list]
        default = default_of(function, node.id) if isinstance(node, ast.Name) else None
        keeps = default is not None and not isinstance(default, ast.Constant)  # one object for all calls
        if isinstance(node, ast.Name) and is_parameter(file, node) and node.id in _parameters(function) and not keeps:
            if function.name not in self._returning:
                self._returning.add(function.name)
                for home, call, above in list(self._given):
                    if called_name(call.func) == function.name:
                        self._use(home, call, above)
            return True
        if "property" not in decorated:
            check_decorators(file, function)
        self._define(file, function, level if "property" in decorated else level + 1)
        return True

    def _in_classdef(self, file: Parsed, parent: ast.ClassDef, node: ast.expr, level: int) -> bool:
        if level == 2 and node in parent.bases:
            self._derive(file, parent)
            return True
        return False

    def _in_arguments(self, file: Parsed, parent: ast.arguments, node: ast.expr, level: int) -> bool:
        """A default is held by its parameter."""
        function = file.names.parents[id(parent)]
        listed = [*parent.posonlyargs, *parent.args]
        defaults = [*zip(reversed(listed), reversed(parent.defaults), strict=False)]
        defaults += [(a, d) for a, d in zip(parent.kwonlyargs, parent.kw_defaults, strict=True) if d is not None]
        for argument, default in defaults:
            if default is node:
                self._hold(file, argument.arg, file.names.scopes[id(function)], level)
        return True

    def _enter_parameters(self, name: str, keywords: set[str], level: int) -> None:
        """What is passed by a keyword gets into every function of the project that takes all keywords of the call.

        Raises:
            Unknowable: there is none, or one takes it out of its `**kwargs`.
        """
        found = False
        for file in self.index.holding(name):
            if place := taken_out_of_keywords(file, name):
                raise Unknowable(f"{file.path}:{place} takes {name} out of its keyword arguments")
            for node in (function for functions in file.functions.values() for function in functions):
                if name in _parameters(node) and (node.args.kwarg is not None or keywords <= _parameters(node)):
                    self._hold(file, name, file.names.scopes[id(node)], level)
                    found = True
        if not found:
            raise Unknowable(f"no function of the project has a parameter {name}")


def check_decorators(file: Parsed, node: FunctionNode) -> None:
    """Check that what decorates a function hands its arguments on as they are.

    Raises:
        Unknowable: it may not.
    """
    for decorator in node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        if (file.names.resolve(function) or called_name(function)) not in _HARMLESS_DECORATORS:
            raise Unknowable(f"{node.name} is decorated, line {node.lineno}")


def is_parameter(file: Parsed, function: ast.expr) -> bool:
    """Whether a called name is a parameter, so that functions of that name are not what it stands for."""
    if not isinstance(function, ast.Name):
        return False
    scope = file.names.scope_at[id(function)].owner(function.id)
    return scope is not None and all(isinstance(b.node, ast.arg) for b in scope.bindings[function.id])


def _of_items(iterated: ast.expr, target: ast.expr) -> ast.expr:
    """What a loop's target binds to the things themselves: not to their names, keys or numbers."""
    paired = isinstance(iterated, ast.Call) and called_name(iterated.func) in _PAIRING
    if paired and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        return target.elts[1]
    return target


def _parameters(function: FunctionNode) -> set[str]:
    """The names of the parameters that a function can be given by keyword."""
    return {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}


def _is_annotation(file: Parsed, node: ast.expr) -> bool:
    """Whether an expression only says what type something has."""
    child: ast.AST = node
    parent = file.names.parents[id(node)]
    while not isinstance(parent, ast.arg | ast.stmt):
        child, parent = parent, file.names.parents[id(parent)]
    if isinstance(parent, FunctionNode):
        return parent.returns is child
    if isinstance(parent, ast.AnnAssign):
        return parent.annotation is child
    return isinstance(parent, ast.arg)
