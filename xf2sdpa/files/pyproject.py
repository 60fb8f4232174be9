"""The nearest pyproject.toml and its tables; no TOML parser is imported before one is needed."""
# Imports where they are needed: most runs need neither TOML nor a spelling suggestion.
# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xf2sdpa.files.reading import read_regular


class SettingsError(Exception):
    """A setting that cannot be used: `path` names the file (None: an option), `key` the setting, if any."""

    def __init__(self, path: Path | None, key: str, message: str) -> None:
        super().__init__(path, key, message)
        self.path = path
        self.key = key
        self.message = message

    def __str__(self) -> str:
        place = "" if self.path is None else f"{self.path}: "
        return f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"


def find_pyproject(start: Path) -> Path | None:
    """Return the nearest pyproject.toml at or above `start`."""
    start = Path(os.path.realpath(start))  # resolve() trips over a circle of links
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            return file
    return None


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML with the standard library's parser, or its forerunner on Python 3.10.

    Raises:
        ValueError: the text is not TOML.
    """
    import importlib

    parser = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        parsed: dict[str, Any] = parser.loads(text)
    except RecursionError:
        raise ValueError("nests too deep") from None
    return parsed


def read_bytes(file: Path) -> bytes:
    """A file's bytes.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return read_regular(file)
    except OSError as error:
        raise SettingsError(file, "", f"cannot be read: {error.strerror or error}") from error


def parse_file(file: Path) -> dict[str, Any]:
    """A file's tables.

    Raises:
        SettingsError: it cannot be read, or is no TOML.
    """
    try:
        return parse_toml(read_bytes(file).decode("utf-8"))
    except ValueError as error:  # both "not UTF-8" and "not TOML"
        raise SettingsError(file, "", f"is not valid TOML: {error}") from None


def table_in(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the table below `key`, empty where there is none."""
    table = parent.get(key)
    return table if isinstance(table, dict) else {}
