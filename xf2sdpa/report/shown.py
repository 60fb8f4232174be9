"""Results as they may be printed: every name and message in them made plain."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import Any, TypeVar

from xf2sdpa.files.plain import plain

_Record = TypeVar("_Record")

_TEXTS = frozenset({"old", "new", "before", "after"})
"""Fields that hold code, of many lines: who prints a part of it makes that plain."""


def shown(record: _Record) -> _Record:
    """The record with all text in it made plain, save code."""
    done: _Record = _shown(record)
    return done


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if isinstance(value, enum.Enum) else plain(value)
    if isinstance(value, Path):
        name = str(value)
        made = plain(name)
        return value if made == name else Path(made)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_shown, value)) if type(value) in (list, tuple) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value) if field.init and field.name not in _TEXTS)
        return dataclasses.replace(value, **{name: _shown(getattr(value, name)) for name in fields})
    return value


def plain_code(line: str) -> str:
    """A line of code, made plain, tabs aside."""
    return "\t".join(map(plain, line.split("\t")))
