"""`[tool.xf2sdpa]` of the nearest pyproject.toml, checked, and overridden by options.

A project without such a table costs a look for the file and a search of its bytes: no TOML is parsed.
"""
# Imports where they are needed: most runs need neither TOML nor a spelling suggestion.
# ruff: noqa: PLC0415

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xf2sdpa.files.pyproject import SettingsError, find_pyproject, parse_file, read_bytes, table_in
from xf2sdpa.model import TorchVersion
from xf2sdpa.settings import DEVICES, HELPERS, NAN_GUARDS, REQUIREMENTS, STYLES, Settings


def load(start: Path) -> Settings:
    """Return the settings in force at `start`, a file or folder: those of the nearest pyproject.toml.

    Raises:
        SettingsError: the file cannot be read, is no TOML, or its table has an unknown key or a bad value.
    """
    file = find_pyproject(start)
    if file is None:
        return Settings()
    if b"xf2sdpa" not in read_bytes(file):
        return Settings(file=file)
    tools = table_in(parse_file(file), "tool")
    table = tools.get("xf2sdpa", {})
    if not isinstance(table, dict):
        raise SettingsError(file, "tool.xf2sdpa", "must be a table")
    values: dict[str, object] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in _CHECKS or "_" in key:
            raise SettingsError(file, f"tool.xf2sdpa.{key}", _unknown(key, [*map(_key, _CHECKS)]))
        values[name] = value
    return Settings(file=file, **_checked(file, values))


def overridden(settings: Settings, **options: object) -> Settings:
    """Return the settings with the options in place of theirs; None means "not given".

    An option is named as the attribute and written as in the file (`torch="2.1"`), or already converted.

    Raises:
        SettingsError: a value is of a wrong type or not allowed.
        TypeError: there is no such option.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in _CHECKS:
            raise TypeError(f"no such setting: {name}")
    return dataclasses.replace(settings, **_checked(None, given))


def _key(name: str) -> str:
    """Return how the attribute is called in pyproject.toml."""
    return name.replace("_", "-")


def _checked(file: Path | None, values: Mapping[str, object]) -> dict[str, Any]:
    """Return the values as `Settings` holds them."""
    checked = {}
    for name, value in values.items():
        try:
            checked[name] = _CHECKS[name](value)
        except ValueError as error:
            key = _key(name) if file is None else f"tool.xf2sdpa.{_key(name)}"
            raise SettingsError(file, key, str(error)) from None
    return checked


def _unknown(word: str, allowed: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word.lower().replace("_", "-"), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown{hint} Allowed: {', '.join(allowed)}"


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"must be a list of strings, not {value!r}")
    return tuple(value)


def _codes(value: object) -> tuple[str, ...]:
    codes = _strings(value)
    for code in codes:
        if not re.fullmatch(r"XF\d{0,3}", code):
            raise ValueError(f"must hold codes or beginnings of codes, such as 'XF1' or 'XF101', not {code!r}")
        _known(code)
    return codes


def idle_codes(settings: Settings) -> list[str]:
    """Sentences about codes in `select` and `ignore` that do nothing, as nothing is reported under them any more."""
    named = [code for code in (*settings.select, *settings.ignore) if len(code) > len("XF1")]
    if not named:
        return []
    from xf2sdpa.rewrite.pages import all_codes

    idle = [code for code in named if not any(known.startswith(code) for known in all_codes())]
    return [f"{code} is retired and does nothing here; `xf2sdpa explain {code}` says why" for code in idle]


def selects_nothing(settings: Settings) -> str:
    """Why a selection leaves everything as it is; empty where it does not, or names retired codes only."""
    if not settings.select or any(code in ("XF", "XF1", "XF5") for code in settings.select):
        return ""
    from xf2sdpa.rewrite.pages import all_codes, deciding_codes

    if any(code.startswith(settings.select) for code in deciding_codes()):
        return ""
    if not any(code.startswith(settings.select) for code in all_codes()):
        return ""
    told = ", ".join(code for code in all_codes() if code.startswith(settings.select))
    return f"--select {','.join(settings.select)} would leave everything: {told} is only told about what is done"


def _known(code: str) -> None:
    """Raise ValueError for a beginning that no code has."""
    from xf2sdpa.codes import FAMILIES
    from xf2sdpa.rewrite.pages import all_codes, retired_codes

    if not any(known.startswith(code) for known in (*all_codes(), *retired_codes())):
        families = ", ".join(f"{family} ({about})" for family, about in FAMILIES.items())
        raise ValueError(f"no code begins with {code!r}. There are {families}; `xf2sdpa explain` lists all codes")


def _torch(value: object) -> TorchVersion:
    if isinstance(value, tuple) and len(value) == 2 and all(type(part) is int for part in value):
        return value
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.\d+)?", value) if isinstance(value, str) else None
    if match is None:
        # A number would not do: 2.10 and 2.1 are the same one.
        raise ValueError(f"must be a version in quotes, such as '2.1', not {value!r}")
    return int(match[1]), int(match[2])


def _one_of(allowed: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be one of {', '.join(allowed)}, not {value!r}")
        if value not in allowed:
            raise ValueError(f"{value!r} is {_unknown(value, list(allowed))}")
        return value

    return check


def without_device(settings: Settings) -> tuple[Settings, str]:
    """The settings with what `device` means said by `flags`, and the warning that this takes; empty without `device`.

    Only flags depended on it: the calls are the same on every device.
    """
    if settings.device is None:
        return settings, ""
    if settings.device == "h200":
        return dataclasses.replace(settings, device=None), "device is no longer needed: h200 is what a run does anyway"
    flags = settings.flags if settings.flags == ("keep",) else ("off",)
    said = "device is no longer needed: any means `--flags off`, and nothing else"
    return dataclasses.replace(settings, device=None, flags=flags), said


def _flags(value: object) -> tuple[str, ...]:
    from xf2sdpa.flags.table import CHOICES, KEEP

    words = [word.strip() for word in value.split(",")] if isinstance(value, str) else list(_strings(value))
    if not any(words):
        raise ValueError(f"must name at least one of {', '.join(CHOICES)}")
    for word in words:
        if word not in CHOICES:
            raise ValueError(f"{word!r} is {_unknown(word, list(CHOICES))}")
    if len(words) > 1 and {"off", KEEP} & set(words):
        raise ValueError(f"off and {KEEP} stand alone, not beside others")
    return tuple(words)


def _length(value: object) -> int:
    if type(value) is not int or value < 1:  # not isinstance: True is no length
        raise ValueError(f"must be a whole number above 0, not {value!r}")
    return value


_CHECKS: dict[str, Callable[[object], object]] = {
    "paths": _strings,
    "include": _strings,
    "exclude": _strings,
    "extend_exclude": _strings,
    "torch": _torch,
    "select": _codes,
    "ignore": _codes,
    "device": _one_of(DEVICES),
    "style": _one_of(STYLES),
    "nan_guard": _one_of(NAN_GUARDS),
    "helper": _one_of(HELPERS),
    "requirements": _one_of(REQUIREMENTS),
    "flags": _flags,
    "flags_in": _strings,
    "line_length": _length,
}
