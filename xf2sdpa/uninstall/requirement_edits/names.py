"""Which files list requirements, by their names, and which are made from such files by a program."""

from __future__ import annotations

import enum
import re
from pathlib import PurePath


class Format(enum.Enum):
    """How a requirement file is written."""

    PIP = "pip"
    TOML = "toml"
    CFG = "setup.cfg"
    SETUP = "setup.py"
    YAML = "yaml"


_BY_NAME = {
    "setup.py": Format.SETUP,
    "setup.cfg": Format.CFG,
    "pyproject.toml": Format.TOML,
    "Pipfile": Format.TOML,
    "pixi.toml": Format.TOML,
}
_PIP = re.compile(r"[\w.+-]*(?:requirements|constraints)[\w.+-]*\.(?:txt|in)|reqs?[\w-]*\.(?:txt|in)")
_YAML = re.compile(r"(?:[\w.-]*env(?:ironment)?[\w.-]*|conda[\w.-]*|meta|recipe|cog)\.ya?ml")
_LOCK = re.compile(r".*\.lock|Pipfile\.lock|conda-lock[\w.-]*\.ya?ml|pylock[\w.-]*\.toml|[\w.-]*-lock\.json")


def format_of(file: PurePath) -> Format | None:
    """How a requirement file is written; None for a file that is none."""
    if file.name in _BY_NAME:
        return _BY_NAME[file.name]
    if is_lock(file):
        return None
    if file.suffix in (".txt", ".in") and (_PIP.fullmatch(file.name) or file.parent.name == "requirements"):
        return Format.PIP
    return Format.YAML if _YAML.fullmatch(file.name) else None


def is_lock(file: PurePath) -> bool:
    """Whether a file is one that a program makes from requirements."""
    return _LOCK.fullmatch(file.name) is not None
