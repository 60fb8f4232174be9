"""Which expressions are models and pipelines of diffusers, as far as one file shows.

An object is one if a class of diffusers makes it (`UNet2DConditionModel.from_pretrained(…)`, `AutoencoderKL(…)`), if it
is annotated as one, is a part of one (`pipe.unet`), is handed through (`pipe.to(device)`, `prepare(unet)`), or is what
all calls in a program pass for a parameter. A variable must be one wherever it is bound; a class that the project
defines, or keeps a copy of, makes none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from xf2sdpa.analysis.names import Names, called_name
from xf2sdpa.analysis.passed import passed_for
from xf2sdpa.analysis.scopes import Binding

_ROOT = "diffusers"
_MAKING = re.compile(r"from_\w+|load_\w+")
_SAME = frozenset({"to", "cuda", "cpu", "half", "float", "eval", "train", "requires_grad_", "bfloat16"})
"""Methods that return the object itself."""
_THROUGH = frozenset({"prepare", "prepare_model", "unwrap_model", "compile", "deepcopy", "get_peft_model"})
"""Functions that return what they are given, in a form of their own."""
_DEEPEST = 6


def class_of(names: Names, node: ast.expr, depth: int = 0) -> str:
    """The class of diffusers that an expression is an object of, or that its whole is; empty where none is shown."""
    if depth > _DEEPEST:
        return ""
    if isinstance(node, ast.Call):
        return _made_by(names, node, depth)
    if isinstance(node, ast.Attribute):
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id == "self":
            return _all_of(names, list(_assigned(names, node.attr)), node, depth)
        return class_of(names, owner, depth + 1)
    if isinstance(node, ast.Name):
        scope = names.scope_at.get(id(node))
        owner_scope = scope.owner(node.id) if scope is not None else None
        bindings = owner_scope.bindings[node.id] if owner_scope is not None else []
        return _of_bindings(names, bindings, node, depth)
    return ""


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
    return ""


def _of_bindings(names: Names, bindings: list[Binding], node: ast.Name, depth: int) -> str:
    values: list[ast.expr] = []
    for binding in bindings:
        if isinstance(binding.node, ast.arg):
            if binding.node.annotation is None:
                passed = passed_for(names, binding.node)
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
        elif not _hands_through(names, binding, node.id):
            return ""
    return _all_of(names, values, node, depth)


def _all_of(names: Names, values: list[ast.expr], node: ast.expr, depth: int) -> str:
    """The class that all values are of, those that only hand the same object on, and None, aside."""
    made = (v for v in values if not (isinstance(v, ast.Constant) and v.value is None) and not _is_handed_on(v, node))
    found = {class_of(names, value, depth + 1) for value in made}
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


def _hands_through(names: Names, binding: Binding, name: str) -> bool:
    """`unet, optimizer = accelerator.prepare(unet, optimizer)`."""
    statement = names.statement(binding.node)
    value = statement.value if isinstance(statement, ast.Assign) else None
    if not isinstance(value, ast.Call) or called_name(value.func) not in _THROUGH:
        return False
    return any(isinstance(argument, ast.Name) and argument.id == name for argument in value.args)


def _annotated(names: Names, argument: ast.arg) -> str:
    note = argument.annotation
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


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """A target with what it is set to; of `a, b = c, d` each of them."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value
