"""What a Python file that no run has looked at needs xformers for, on the careful side, and where it only names it.

A run knows better: it follows names. Here every import, every look-up, every question and every switch of another
library counts, guarded or not, as a guard's other side may be the slower one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.asking import FINDING, LOADING, is_question
from xf2sdpa.analysis.foreign import PROCESSOR
from xf2sdpa.analysis.imports import brings_ours
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.parsed import Parsed
from xf2sdpa.model import Bearing

_SWITCH = re.compile(
    r"enable_xformers\w*|set_use_memory_efficient_attention_xformers|_memory_efficient_attention_xformers"
)
_REGISTERED = re.compile(r"torch\.ops\.xformers\w*")
_BACKEND = frozenset({"set_attention_backend", "attention_backend"})
_OPTIONS = frozenset({"add_argument", "option", "add_option", "Option", "Argument"})
_LEFT = "The rewrite left it: delete it by hand, with what it is for."
OPTION = "Drop it once nothing needs xformers any more."
IDLE = "The option is accepted as before, and nothing that it chooses needs xformers: rename or drop it when you may."
"""What to do with an option once nothing needs xformers any more."""
_NAME = "Offer the choice under another name, or drop it, when you may."


@dataclass(frozen=True)
class Use:
    """A line of a file that names xformers in its code."""

    line: int
    bearing: Bearing
    text: str
    advice: str


def needs(file: Parsed) -> Iterator[Use]:
    """What raises, or takes another path, where xformers is not installed."""
    for node in file.of(ast.Import, ast.ImportFrom, ast.Call, ast.Subscript, ast.Attribute):
        if isinstance(node, ast.Import | ast.ImportFrom):
            if brings_ours(node):
                yield _needs(node, "imports it")
        elif isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.Subscript) and _named(node.slice) and ast.unparse(node.value).endswith("modules"):
            yield _needs(node, "looks for it among the modules")
        elif isinstance(node, ast.Attribute) and _is_registered(node):
            yield _needs(node, "takes an operator that it registers")


def imports(file: Parsed) -> Iterator[Use]:
    """The imports that a rewrite left in a file."""
    for node in file.of(ast.Import, ast.ImportFrom):
        if brings_ours(node):
            yield Use(node.lineno, Bearing.NEEDS, "imports it", _LEFT)


def choices(file: Parsed) -> Iterator[Use]:
    """Options of a command line, and names in strings, by which xformers is chosen."""
    told = {id(part) for node in file.of(ast.Raise) for part in ast.walk(node)}
    for node in file.of(ast.Call, ast.Constant):
        if isinstance(node, ast.Call):
            options = node.args if called_name(node.func) in _OPTIONS else []
            named = [arg for arg in options if isinstance(arg, ast.Constant) and "xformers" in str(arg.value)]
            if named:
                yield Use(node.lineno, Bearing.CHOICE, ast.unparse(named[0]), OPTION)
        elif _named(node) and id(node) not in told:
            yield Use(node.lineno, Bearing.CHOICE, ast.unparse(node), _NAME)


def _is_registered(node: ast.Attribute) -> bool:
    return node.attr.startswith("xformers") and _REGISTERED.fullmatch(ast.unparse(node)) is not None


def _of_call(call: ast.Call) -> Iterator[Use]:
    name = called_name(call.func)
    first = call.args[0] if call.args else None
    if name in FINDING | LOADING | {"importorskip", "is_package_available"} and _named(first):
        yield _needs(call, "asks for it")
    elif is_question(call):
        yield _needs(call, "asks whether it is installed")
    elif isinstance(call.func, ast.Attribute) and _SWITCH.fullmatch(name):
        off = isinstance(first, ast.Constant) and first.value is False
        if not off:
            yield _needs(call, "turns it on in another library")
    elif PROCESSOR.fullmatch(name):
        yield _needs(call, "takes another library's code for it")
    elif name in _BACKEND and _named(first):
        yield _needs(call, "turns it on in another library")


def _needs(node: ast.stmt | ast.expr, why: str) -> Use:
    return Use(node.lineno, Bearing.NEEDS, why, "Run `xf2sdpa rewrite` on it, or rewrite it by hand.")


def _named(node: ast.AST | None) -> bool:
    """Whether something is a string that is the package's name, or a module of it."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and is_ours(node.value)
