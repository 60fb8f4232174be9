"""Looks up the names that a side uses: libraries, imported when first needed, and the emitted helper module."""

from __future__ import annotations

import importlib
import linecache
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xf2sdpa.helper.text import FILE_NAME

_STEM = FILE_NAME.removesuffix(".py")


@dataclass(frozen=True)
class Helper:
    """The helper module, executed from its emitted text.

    Attributes:
        key: its path, or a placeholder if it is not on disk.
        text: its source.
    """

    key: str
    text: str

    def module(self) -> types.ModuleType:
        """The module, executed once per process."""
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
    """Compile a lambda; its imported names are looked up on its first call.

    Args:
        source: the lambda.
        imports: its free names, and the dotted path of each.
        helper: the module for paths that contain the helper's name.
        filename: the file name for tracebacks.
    """
    code = compile(source, filename, "eval", dont_inherit=True)
    found: list[Callable[..., Any]] = []

    def call(*atoms: Any) -> Any:
        if not found:
            names = {name: resolved(dotted, helper) for name, dotted in imports.items()}
            found.append(eval(code, names))
        return found[0](*atoms)

    return call


def without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with autocast off while it runs, on the device of the first tensor that it is given."""

    def call(*atoms: Any) -> Any:
        import torch  # noqa: PLC0415 - the planning, which makes this, runs without it

        device = next(atom.device.type for atom in atoms if isinstance(atom, torch.Tensor))
        with torch.autocast(device, enabled=False):
            return function(*atoms)

    return call


def checked(function: Callable[..., Any], parameters: str, checks: Sequence[str]) -> Callable[..., Any]:
    """The function behind checks, which raise what they raise in the new text.

    Args:
        function: a function of the parameters.
        parameters: their names, as in a `def`.
        checks: statements that read these parameters.
    """
    lines = [f"def check({parameters}):", *(f"    {line}" for check in checks for line in check.splitlines())]
    names: dict[str, Any] = {}
    exec(compile("\n".join(lines), "<checks before the new side>", "exec", dont_inherit=True), names)

    def call(*atoms: Any) -> Any:
        names["check"](*atoms)
        return function(*atoms)

    return call


def resolved(dotted: str, helper: Helper | None) -> Any:
    """The object of a dotted path.

    Raises:
        ImportError: no module of that name can be imported.
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
    """The module at the longest importable beginning of a path, and the rest of the path."""
    value = importlib.import_module(parts[0])
    for index in range(1, len(parts)):
        if hasattr(value, parts[index]):
            return value, parts[index:]
        try:
            value = importlib.import_module(".".join(parts[: index + 1]))
        except ModuleNotFoundError:
            return value, parts[index:]
    return value, []
