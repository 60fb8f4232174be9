"""Which expressions are models and pipelines of diffusers, as far as one file shows.

An expression is one if it is

* made by a class of diffusers: `UNet2DConditionModel.from_pretrained(…)`, `AutoencoderKL(…)`;
* annotated as such a class, as a variable, a parameter or a field;
* a part of one, `pipe.unet`, or one handed through, `pipe.to(device)`, `prepare(unet)`;
* returned by a function or a property of the file, alone or in a row;
* what all calls in a program pass for a parameter.

A variable must be one wherever it is bound. A class that the project defines, or keeps a copy of, makes none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence

from xf2sdpa.analysis.names import Names, called_name
from xf2sdpa.analysis.own_calls import passed_by_own_calls
from xf2sdpa.analysis.scopes import Binding

_ROOT = "diffusers"
_MAKING = re.compile(r"from_\w+|load_\w+")
_SAME = frozenset({"to", "cuda", "cpu", "half", "float", "eval", "train", "requires_grad_", "bfloat16"})
"""Methods that return the object itself."""
_THROUGH = frozenset({"prepare", "prepare_model", "unwrap_model", "compile", "deepcopy", "get_peft_model"})
"""Functions that return what they are given, in a form of their own."""
_DEEPEST = 6
_ENDS = (ast.Return, ast.Yield, ast.YieldFrom)


_SINCE = ((0, 13), (0, 17))
"""The releases of diffusers from which SDPA is the default of UNets and their like, and of everything."""
_FIRST = ("UNet", "Transformer", "ControlNet")


def since(name: str) -> tuple[int, int]:
    """The release of diffusers from which the objects of a class call SDPA unless they are told otherwise."""
    return _SINCE[0] if any(word in name for word in _FIRST) else _SINCE[1]


def class_of(names: Names, node: ast.expr, depth: int = 0) -> str:
    """The class of diffusers that an expression is an object of, or that its whole is; empty where none is shown."""
    if depth > _DEEPEST:
        return ""
    if isinstance(node, ast.Call):
        return _made_by(names, node, depth)
    if isinstance(node, ast.Attribute):
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id == "self":
            values = list(_assigned(names, node.attr))
            return _all_of(names, values, node, depth) if values else _property(names, node, depth)
        return class_of(names, owner, depth + 1) or _field(names, owner, node.attr)
    if isinstance(node, ast.Name):
        scope = names.scope_at.get(id(node))
        owner_scope = scope.owner(node.id) if scope is not None else None
        bindings = owner_scope.bindings[node.id] if owner_scope is not None else []
        return _of_bindings(names, bindings, node, depth)
    return ""


def _property(names: Names, node: ast.Attribute, depth: int) -> str:
    """What a property of the class returns in which `self.x` stands."""
    around = next((parent for parent in names.ancestors(node) if isinstance(parent, ast.ClassDef)), None)
    found = [part for part in (around.body if around else ()) if getattr(part, "name", "") == node.attr]
    if len(found) != 1 or not isinstance(found[0], ast.FunctionDef):
        return ""
    plain = [ast.unparse(decorator) for decorator in found[0].decorator_list] == ["property"]
    return _one_class(names, _returns(names, found[0]), depth) if plain else ""


def _field(names: Names, owner: ast.expr, name: str) -> str:
    """What a field is annotated as, `self.parts.unet`, of a class of this file that `self.parts` is always made of."""
    if not (isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "self"):
        return ""
    found = set()
    for value in _assigned(names, owner.attr):
        made = _definition(names, value.func) if isinstance(value, ast.Call) else None
        fields = [f for f in made.body if isinstance(f, ast.AnnAssign)] if isinstance(made, ast.ClassDef) else []
        notes = [f.annotation for f in fields if isinstance(f.target, ast.Name) and f.target.id == name]
        found.add(_named(names, notes[0]) if len(notes) == 1 else "")
    return found.pop() if len(found) == 1 else ""


def _made_by(names: Names, call: ast.Call, depth: int) -> str:
    dotted = names.resolve(call.func) or ""
    if _is_theirs(names, dotted):
        *path, last = dotted.split(".")
        named = [part for part in (*path, last) if part[:1].isupper()]
        return named[0] if named and (last is named[0] or _MAKING.fullmatch(last)) else ""
    name = called_name(call.func)
    if isinstance(call.func, ast.Attribute) and name in _SAME:
        return class_of(names, call.func.value, depth + 1)
    if name in _THROUGH and call.args:
        found = [class_of(names, argument, depth + 1) for argument in call.args]
        return found[0] if len(found) == 1 else ""
    return _one_class(names, _returned(names, call), depth)


def _returned(names: Names, call: ast.Call) -> list[ast.expr]:
    """What a plain function of the file that is called may return; empty where that is not known."""
    function = _definition(names, call.func)
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return []
    return _returns(names, function)


def _definition(names: Names, function: ast.expr) -> ast.AST | None:
    """The one place where a name that is called is bound."""
    scope = names.scope_at.get(id(function)) if isinstance(function, ast.Name) else None
    owner = scope.owner(function.id) if scope is not None and isinstance(function, ast.Name) else None
    bindings = owner.bindings[function.id] if owner is not None and isinstance(function, ast.Name) else []
    return bindings[0].node if len(bindings) == 1 else None


def _returns(names: Names, function: ast.FunctionDef) -> list[ast.expr]:
    """What a function may return; empty where it may return nothing, or is a generator."""
    own = [node for node in names.nodes if isinstance(node, _ENDS) and names.function(node) is function]
    values = [node.value for node in own if isinstance(node, ast.Return) and node.value is not None]
    return values if len(values) == len(own) else []


def _one_class(names: Names, values: Sequence[ast.expr], depth: int) -> str:
    """The class that values are of; empty unless it is one."""
    found = {class_of(names, value, depth + 1) for value in values}
    return found.pop() if len(found) == 1 else ""


def _of_bindings(names: Names, bindings: list[Binding], node: ast.Name, depth: int) -> str:
    values: list[ast.expr] = []
    known: set[str] = set()
    for binding in bindings:
        if isinstance(binding.node, ast.arg):
            if binding.node.annotation is None:
                passed = passed_by_own_calls(names, binding.node)
                if not passed:
                    return ""
                values += passed
            elif len(bindings) > 1:
                return ""
            else:
                return _annotated(names, binding.node)
            continue
        if isinstance(getattr(binding.node, "ctx", None), ast.Del):
            continue
        value = binding.value or _in_a_row(names, binding)
        if value is not None:
            values.append(value)
        elif in_a_row := _returned_in_a_row(names, binding):
            known.add(_one_class(names, in_a_row, depth))  # names there are those of another function
        elif not _hands_through(names, binding, node.id):
            return ""
    return _all_of(names, values, node, depth, known)


def _all_of(
    names: Names, values: list[ast.expr], node: ast.expr, depth: int, known: Collection[str] = frozenset()
) -> str:
    """The class that all values are of, those that only hand the same object on, and None, aside."""
    made = (v for v in values if not (isinstance(v, ast.Constant) and v.value is None) and not _is_handed_on(v, node))
    found = {*known, *(class_of(names, value, depth + 1) for value in made)}
    return min(found) if found and "" not in found else ""


def _is_handed_on(value: ast.expr, node: ast.expr) -> bool:
    """`unet = accelerator.prepare(unet)`, `pipe = pipe.to(device)`."""
    if not isinstance(value, ast.Call):
        return False
    same = ast.unparse(node)
    name = called_name(value.func)
    if name in _THROUGH or ast.unparse(value.func).startswith("PeftModel."):
        return any(ast.unparse(argument) == same for argument in value.args)
    return name in _SAME and isinstance(value.func, ast.Attribute) and ast.unparse(value.func.value) == same


def _in_a_row(names: Names, binding: Binding) -> ast.expr | None:
    """What a variable is set to among others: `unet, vae = pipe.unet, pipe.vae`."""
    statement = names.statement(binding.node)
    if not isinstance(statement, ast.Assign):
        return None
    pairs = (
        pair
        for target in statement.targets
        if isinstance(target, ast.Tuple)
        for pair in _pairs(target, statement.value)
    )
    return next((value for part, value in pairs if part is binding.node), None)


def _returned_in_a_row(names: Names, binding: Binding) -> list[ast.expr]:
    """What a function of the file returns in the place of a variable: `vae, unet = get_models(…)`."""
    statement = names.statement(binding.node)
    if not (
        isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.value, ast.Call)
    ):
        return []
    return _of_a_row(statement.targets[0], binding.node, _returned(names, statement.value))


def _of_a_row(target: ast.expr, part: ast.AST, rows: Sequence[ast.expr]) -> list[ast.expr]:
    """Of rows of values, all as long as a target, those that go to one part of it; empty where one is none."""
    if not isinstance(target, ast.Tuple) or any(isinstance(element, ast.Starred) for element in target.elts):
        return []
    place = next((index for index, element in enumerate(target.elts) if element is part), None)
    fit = [r for r in rows if isinstance(r, ast.Tuple) and len(r.elts) == len(target.elts)]
    if place is None or len(fit) != len(rows) or any(isinstance(e, ast.Starred) for row in fit for e in row.elts):
        return []
    return [row.elts[place] for row in fit]


def _hands_through(names: Names, binding: Binding, name: str) -> bool:
    """`unet, optimizer = accelerator.prepare(unet, optimizer)`."""
    statement = names.statement(binding.node)
    value = statement.value if isinstance(statement, ast.Assign) else None
    if not isinstance(value, ast.Call) or called_name(value.func) not in _THROUGH:
        return False
    return any(isinstance(argument, ast.Name) and argument.id == name for argument in value.args)


def _annotated(names: Names, argument: ast.arg) -> str:
    return _named(names, argument.annotation)


def _named(names: Names, note: ast.expr | None) -> str:
    """The class of diffusers that an annotation names."""
    dotted = names.resolve(note) if note is not None else None
    return dotted.rpartition(".")[2] if dotted and _is_theirs(names, dotted) else ""


def _is_theirs(names: Names, dotted: str) -> bool:
    """Whether a dotted path leads to a class of diffusers, to one of the project that is one, or into it."""
    if any(dotted == known or dotted.startswith(f"{known}.") for known in names.subclasses):
        return True
    return dotted.startswith(f"{_ROOT}.") and not names.is_of_project(dotted)


def _assigned(names: Names, attribute: str) -> Iterator[ast.expr]:
    """What `self.<attribute>` is set to, anywhere in the file."""
    for node in names.parsed.of(ast.Assign, ast.AnnAssign):
        if node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for part, value in _pairs(target, node.value):
                    if ast.unparse(part) == f"self.{attribute}":
                        yield value
                yield from _assigned_in_a_row(names, target, node.value, f"self.{attribute}")


def _assigned_in_a_row(names: Names, target: ast.expr, value: ast.expr, attribute: str) -> Iterator[ast.expr]:
    """`self.vae, self.unet = get_models(…)`: what comes for one of them; the call itself where that is not known."""
    if isinstance(target, ast.Tuple) and not isinstance(value, ast.Tuple):
        for part in (part for part in target.elts if ast.unparse(part) == attribute):
            rows = _returned(names, value) if isinstance(value, ast.Call) else []
            yield from _of_a_row(target, part, rows) or [ast.Constant("unknown")]


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """A target with what it is set to; of `a, b = c, d` each of them."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value
