"""Where the names of a side lead: libraries that are imported when they are first needed, and the emitted helper."""

from __future__ import annotations

import importlib
import linecache
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xf2sdpa.helper.text import FILE_NAME

_STEM = FILE_NAME.removesuffix(".py")
_OLD_NAMES = ("xformers", "mslk")


@dataclass(frozen=True)
class Helper:
    """The helper module: its emitted text, made a module of its own, never a re-implementation.

    Attributes:
        key: its path, or what stands for one.
        text: its source.
    """

    key: str
    text: str

    def module(self) -> types.ModuleType:
        """The module, executed once a process."""
        name = f"_xf2sdpa_helper_{abs(hash((self.key, self.text))):x}"
        if name not in sys.modules:
            module = types.ModuleType(name)
            module.__file__ = self.key
            sys.modules[name] = module  # dataclasses look their module up while it is executed
            shown = f"<helper {self.key}>"
            linecache.cache[shown] = (len(self.text), None, self.text.splitlines(keepends=True), shown)
            try:
                exec(compile(self.text, shown, "exec", dont_inherit=True), module.__dict__)
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]


def bind(source: str, imports: Mapping[str, str], helper: Helper | None, filename: str) -> Callable[..., Any]:
    """Compile a lambda; what it imports is looked up on its first call.

    Args:
        source: the lambda.
        imports: free names of it, and the dotted path that each stands for.
        helper: what paths with the helper's name in them lead to.
        filename: what tracebacks call it.
    """
    code = compile(source, filename, "eval", dont_inherit=True)
    found: list[Callable[..., Any]] = []

    def call(*atoms: Any) -> Any:
        if not found:
            names = {name: resolved(dotted, helper) for name, dotted in imports.items()}
            found.append(eval(code, names))
        return found[0](*atoms)

    return call


def resolved(dotted: str, helper: Helper | None) -> Any:
    """What a dotted path stands for.

    Raises:
        ImportError: nothing of that name can be imported.
        AttributeError: the module has no such name.
    """
    parts = dotted.split(".")
    if helper is not None and _STEM in parts:
        value: Any = helper.module()
        rest = parts[parts.index(_STEM) + 1 :]
    else:
        value, rest = _module(parts)
    for part in rest:
        value = getattr(value, part)
    return value


def _module(parts: list[str]) -> tuple[Any, list[str]]:
    """The longest beginning of a path that is a module, and what is left of the path."""
    value = importlib.import_module(parts[0])
    for index in range(1, len(parts)):
        if hasattr(value, parts[index]):
            return value, parts[index:]
        try:
            value = importlib.import_module(".".join(parts[: index + 1]))
        except ModuleNotFoundError:
            return value, parts[index:]
    return value, []
