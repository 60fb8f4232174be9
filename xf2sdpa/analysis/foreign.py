"""Where code tells another library to use xformers, or gives it a stand-in for it.

A library that is switched on imports xformers itself. What decides about such a switch must give the same answers
after a rewrite as before it, with xformers and without it.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.imports import is_lookup
from xf2sdpa.analysis.names import Names, called_name

_SELF = frozenset({"self", "cls"})
LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
"""The statements after which a block goes no further."""
SWITCHES = frozenset({"enable_xformers_memory_efficient_attention", "set_use_memory_efficient_attention_xformers"})
"""Methods of diffusers that turn xformers on."""
PROCESSOR = re.compile(r"\w*XFormers\w*Processor")
"""Classes of diffusers that call xformers."""
_PUTTING = frozenset({"update", "setdefault", "__setitem__"})


@functools.lru_cache(maxsize=2)
def switches(names: Names, *, own_library: bool = False) -> tuple[ast.stmt | ast.expr, ...]:
    """Calls, assignments and arguments that tell another library's object to use xformers; stand-ins put in its place.

    `unet.enable_xformers_memory_efficient_attention()`, `unet.kind = "xformers"`, `options["kind"] = "xformers"`,
    `UNet(kind="xformers" if … else "eager")`, `start(use_xformers=FLAG)`, `sys.modules["xformers"] = …`. What is done
    to `self`, to an object of a class of the same file, or to a dictionary that no other library is given, is the
    project's own matter; so are the methods and attributes of a library that the project holds itself.
    """
    return tuple(_found(names, own_library))


def _found(names: Names, own_library: bool) -> Iterator[ast.stmt | ast.expr]:
    for call in names.calls:
        function = call.func
        if _is_told_by_keyword(names, call):
            yield call
            continue
        if not isinstance(function, ast.Attribute) or not _is_foreign_call(names, call, function):
            continue
        if not own_library or names.resolve(function.value) == "sys.modules":
            yield call
    naming = _around(names, filter(_is_its_name, names.strings))
    for node in names.parsed.of(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.IfExp):
        if not isinstance(node, ast.IfExp):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            told = [target for target in targets if _tells_to_use_it(names, target, node.value, naming)]
            if told and not (own_library and all(isinstance(target, ast.Attribute) for target in told)):
                yield node
        elif _names_it(node) and _is_given_to_others(names, node):
            yield node


def _around(names: Names, nodes: Iterable[ast.AST]) -> frozenset[int]:
    """The nodes, and all that they stand in."""
    found: set[int] = set()
    for node in nodes:
        above: ast.AST | None = node
        while above is not None and id(above) not in found:
            found.add(id(above))
            above = names.parents.get(id(above))
    return frozenset(found)


def deciding(
    names: Names, *, own_library: bool = False, besides: Callable[[ast.AST], bool] = lambda _: False
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each switch, with what decides whether it is reached, or what it is given: variables of modules, and look-ups.

    As source. Variables of functions are left out: what they are made of is seen where they are.
    """
    for use in switches(names, own_library=own_library):
        if besides(use):
            continue
        value = getattr(use, "value", None)
        given = [*use.args, *(k.value for k in use.keywords)] if isinstance(use, ast.Call) else [value]
        told = (*conditions(names.parents, use), *(part for part in given if isinstance(part, ast.expr)))
        yield ast.unparse(use), tuple(dict.fromkeys(text for part in told for text in _asked(names, part)))


def _asked(names: Names, told: ast.expr) -> Iterator[str]:
    for node in ast.walk(told):
        if isinstance(node, ast.Call) and is_lookup(node):
            yield ast.unparse(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            scope = names.scope_at.get(id(node))
            if scope is None or scope.owner(node.id) in (None, names.module):
                yield ast.unparse(_chain(names, node))


def _chain(names: Names, node: ast.expr) -> ast.expr:
    """The whole of `a.b.c`, from the `a` in it."""
    parent = names.parents[id(node)]
    while isinstance(parent, ast.Attribute):
        node, parent = parent, names.parents[id(parent)]
    return node


def conditions(parents: Mapping[int, ast.AST], use: ast.AST) -> Iterator[ast.expr]:
    """The tests that decide whether code is reached: those around it, and those that leave its block before it.

    Args:
        parents: the node around each node, by its `id`.
        use: the code.
    """
    child, parent = use, parents.get(id(use))
    while parent is not None:
        if isinstance(parent, ast.If | ast.IfExp | ast.While) and child is not parent.test:
            yield parent.test
        elif isinstance(parent, ast.BoolOp):
            yield parent
        for _, block in ast.iter_fields(parent):
            if isinstance(block, list) and child in block:
                earlier = (s for s in block[: block.index(child)] if isinstance(s, ast.If))
                yield from (s.test for s in earlier if isinstance(s.body[-1], LEAVING))
        child, parent = parent, parents.get(id(parent))


def is_own(names: Names, node: ast.expr) -> bool:
    """Whether an object is the project's own: `self`, what `self` holds, or what a class of the project makes."""
    held = None
    while isinstance(node, ast.Attribute | ast.Subscript):
        held, node = node, node.value
    if not isinstance(node, ast.Name):
        return False
    if node.id in _SELF:
        made = _assigned(names).get(held.attr, ()) if isinstance(held, ast.Attribute) else ()
        return not any(_comes_from_others(names, value) for value in made)
    if names.is_of_project(names.resolve(node) or ""):
        return True
    scope = names.scope_at.get(id(node))
    owner = scope.owner(node.id) if scope is not None else None
    values = [binding.value for binding in owner.bindings[node.id]] if owner is not None else []
    if values and all(isinstance(value, ast.Dict | ast.List) for value in values):
        return not any(_is_given_to_others(names, load) for load in names.loads.get(node.id, ()))
    return bool(values) and all(_makes_own(names, value) for value in values)


@functools.lru_cache(maxsize=2)
def _assigned(names: Names) -> dict[str, list[ast.expr]]:
    """What `self.x = …` assigns, by the attribute."""
    found: dict[str, list[ast.expr]] = {}
    for load in (load for name in _SELF for load in names.loads.get(name, ())):
        target, statement = names.parents[id(load)], names.statement(load)
        if isinstance(target, ast.Attribute) and isinstance(statement, ast.Assign) and target in statement.targets:
            found.setdefault(target.attr, []).append(statement.value)
    return found


def _comes_from_others(names: Names, value: ast.expr) -> bool:
    """Whether an object was handed over (a parameter), or made by what another library has."""
    if isinstance(value, ast.Name):
        owner = names.scope_at[id(value)].owner(value.id)
        bindings = owner.bindings.get(value.id, ()) if owner is not None else ()
        return any(isinstance(binding.node, ast.arg) for binding in bindings)
    dotted = names.resolve(value.func) if isinstance(value, ast.Call) else None
    return dotted is not None and not is_ours(dotted) and not names.is_of_project(dotted)


def _makes_own(names: Names, value: ast.expr | None) -> bool:
    made = value.func if isinstance(value, ast.Call) else None
    bindings = names.module.bindings.get(made.id, ()) if isinstance(made, ast.Name) else ()
    here = bool(bindings) and all(isinstance(binding.node, ast.ClassDef) for binding in bindings)
    return here or (made is not None and names.is_of_project(names.resolve(made) or ""))


def _is_foreign_call(names: Names, call: ast.Call, function: ast.Attribute) -> bool:
    if function.attr in _PUTTING and names.resolve(function.value) == "sys.modules":
        return "xformers" in ast.dump(call)
    named = "xformers" in function.attr.lower() and function.attr.lower().startswith(("enable", "set", "use", "_use"))
    return named and not is_ours(names.resolve(function)) and not is_own(names, function.value)


def _is_told_by_keyword(names: Names, call: ast.Call) -> bool:
    """Whether a function of another library is given what the project found out: `start(use_xformers=FLAG)`."""
    told = any("xformers" in (k.arg or "").lower() and not isinstance(k.value, ast.Constant) for k in call.keywords)
    if not told:
        return False
    handed = called_name(call.func) == "partial" and call.args
    dotted = names.resolve(call.args[0] if handed else call.func) or ""
    root = dotted.partition(".")[0]
    plain = root in sys.stdlib_module_names or hasattr(builtins, root) or is_ours(dotted)
    return bool(dotted) and not plain and not names.is_of_project(dotted)


def _tells_to_use_it(names: Names, target: ast.expr, value: ast.expr | None, naming: Collection[int]) -> bool:
    """Whether an assignment tells to use it; `naming` are the nodes that hold its name."""
    if isinstance(target, ast.Tuple):
        return any(_tells_to_use_it(names, element, value, naming) for element in target.elts)
    given = id(value) in naming
    if isinstance(target, ast.Subscript):
        if not given and id(target.slice) not in naming:
            return False
        if names.resolve(target.value) == "sys.modules":
            return _is_its_name(target.slice)
        return value is not None and _is_its_name(value) and not is_own(names, target)
    if not isinstance(target, ast.Attribute) or not (given or "xformers" in target.attr.lower()):
        return False
    return not (is_ours(names.resolve(target)) or is_own(names, target.value))


def _names_it(choice: ast.IfExp) -> bool:
    return any(map(_is_its_name, (choice.body, choice.orelse)))


def _is_its_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and is_ours(node.value)


def _is_given_to_others(names: Names, node: ast.expr) -> bool:
    """Whether an expression is an argument for making an object of a class that is imported."""
    parent = names.parents[id(node)]
    parent = names.parents[id(parent)] if isinstance(parent, ast.keyword) else parent
    if not isinstance(parent, ast.Call) or parent.func is node:
        return False
    made = called_name(parent.func)
    return made[:1].isupper() and names.resolve(parent.func) is not None
