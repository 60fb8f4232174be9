"""Converts dataclasses of `verify.model` to plain data and back, for reports and for exchange between processes.

A site's `kind` becomes `class`, as in the report of `rewrite`. Figures that are not finite become the strings `NaN`,
`Infinity` and `-Infinity`, as JSON cannot represent them.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from typing import Any, TypeVar

_Made = TypeVar("_Made")
_RENAMED = {"kind": "class"}


def plain(value: Any) -> Any:
    """A dataclass, with everything in it, as data that `json.dumps` accepts."""
    if dataclasses.is_dataclass(value):
        fields = (field.name for field in dataclasses.fields(value))
        return {_RENAMED.get(name, name): plain(getattr(value, name)) for name in fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def made(kind: type[_Made], data: dict[str, Any]) -> _Made:
    """A dataclass from its plain form. Unknown keys, of a newer release, are ignored; missing ones get defaults.

    Raises:
        TypeError: a key without a default is missing, or the data has another structure.
        ValueError: a value is not valid for its type.
    """
    hints = typing.get_type_hints(kind)
    names = {name: _RENAMED.get(name, name) for name in hints}
    return kind(**{name: _value(hints[name], data[key]) for name, key in names.items() if key in data})


def _value(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _value(next(a for a in arguments if a is not type(None)), value)
    if origin in (list, tuple):
        return origin(_value(arguments[0], item) for item in value)
    if dataclasses.is_dataclass(hint):
        return made(typing.cast("type[Any]", hint), value)
    if isinstance(hint, type) and issubclass(hint, (enum.Enum, float)):
        return hint(value)
    return value
