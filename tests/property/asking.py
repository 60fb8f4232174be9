"""Generated projects that ask whether xformers is there: guards, questions, imports, files, with and without a call.

A project's `run(q, k, v)` returns the branch it took and its result. `PROJECTS` holds every possible one, in an order
in which a short beginning has every option, with a call and without.
"""

from __future__ import annotations

import itertools
import random
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields

from tests.projects.harness import EAGER


@dataclass(frozen=True)
class Import:
    """An import of the operator: the statement, how the operator is called then, and the name that is bound."""

    name: str
    line: str
    callee: str
    bound: str


OPERATOR = "memory_efficient_attention"
IMPORTS = (
    Import("import as", "import xformers.ops as xops", f"xops.{OPERATOR}", "xops"),
    Import("import dotted", "import xformers.ops", f"xformers.ops.{OPERATOR}", "xformers"),
    Import("from, a module", "from xformers import ops", f"ops.{OPERATOR}", "ops"),
    Import("from, the operator", f"from xformers.ops import {OPERATOR}", OPERATOR, OPERATOR),
    Import("from, renamed", f"from xformers.ops import {OPERATOR} as attend", "attend", "attend"),
)


@dataclass(frozen=True)
class Guard:
    """How a file finds out: its text, `{import}` for the import, and the condition that is true with xformers.

    `gives` is what other files import for the condition.
    """

    name: str
    text: str
    condition: str = "FLAG"
    gives: str = "FLAG"


GUARDS = (
    Guard("flag at the end", "try:\n    {import}\n    FLAG = True\nexcept ImportError:\n    FLAG = False"),
    Guard("flag first", "FLAG = False\ntry:\n    {import}\n    FLAG = True\nexcept ImportError:\n    pass"),
    Guard("else", "try:\n    {import}\nexcept ImportError:\n    FLAG = False\nelse:\n    FLAG = True"),
    Guard("None", "try:\n    {import}\nexcept ImportError:\n    {bound} = None", "{bound} is not None", "{bound}"),
    Guard(
        "suppress",
        "import contextlib\n\nFLAG = False\nwith contextlib.suppress(ImportError):\n    {import}\n    FLAG = True",
    ),
    Guard(
        "find_spec",
        'import importlib.util\n\nFLAG = importlib.util.find_spec("xformers") is not None\nif FLAG:\n    {import}',
    ),
    Guard(
        "function, find_spec",
        "from importlib.util import find_spec\n\n\ndef is_there():\n"
        '    return find_spec("xformers") is not None\n\n\nif is_there():\n    {import}',
        "is_there()",
        "is_there",
    ),
    Guard(
        "function, try",
        "def is_there():\n    try:\n        import xformers\n    except ImportError:\n        return False\n"
        "    return True\n\n\nif is_there():\n    {import}",
        "is_there()",
        "is_there",
    ),
    Guard(
        "function of a name",
        "import importlib.util\n\n\ndef has(name):\n    return importlib.util.find_spec(name) is not None\n\n\n"
        'FLAG = has("xformers")\nif FLAG:\n    {import}',
    ),
    Guard(
        "version",
        'import importlib.metadata\n\ntry:\n    importlib.metadata.version("xformers")\n    FLAG = True\n'
        "except importlib.metadata.PackageNotFoundError:\n    FLAG = False\nif FLAG:\n    {import}",
    ),
)


@dataclass(frozen=True)
class Question:
    """What is done with the answer: top-level text and `run`, with `{condition}`, `{fast}` and `{slow}`."""

    name: str
    text: str


RUN = "\n\ndef run(q, k, v):\n    b, n, h, d = q.shape\n"
QUESTIONS = (
    Question("if", RUN + '    if {condition}:\n        return "fast", {fast}\n    return "slow", {slow}\n'),
    Question(
        "else",
        RUN + '    if {condition}:\n        path, out = "fast", {fast}\n    else:\n        path, out = "slow", {slow}\n'
        "    return path, out\n",
    ),
    Question("not", RUN + '    if not ({condition}):\n        return "slow", {slow}\n    return "fast", {fast}\n'),
    Question("choice", RUN + '    return ("fast", {fast}) if {condition} else ("slow", {slow})\n'),
    Question("and", RUN + '    if {condition} and n > 1:\n        return "fast", {fast}\n    return "slow", {slow}\n'),
    Question(
        "raise", RUN + '    if not ({condition}):\n        raise RuntimeError("slow")\n    return "fast", {fast}\n'
    ),
    Question(
        "turned round",
        "\nSLOW = not ({condition})\n"
        + RUN
        + '    if SLOW:\n        return "slow", {slow}\n    return "fast", {fast}\n',
    ),
)


@dataclass(frozen=True)
class Files:
    """Where the guard stands, `{guard}`, and how the program gets its answer; the first line takes what it `gives`."""

    name: str
    guard_in: str
    take: str
    prefix: str = ""
    more: tuple[tuple[str, str], ...] = ()


FILES = (
    Files("one", "main.py", ""),
    Files("by name", "flags.py", "from flags import {gives}"),
    Files("as attribute", "flags.py", "import flags", "flags."),
    Files("star", "flags.py", "from flags import *"),
    Files(
        "package", "pkg/flags.py", "from pkg import {gives}", "", (("pkg/__init__.py", "from .flags import {gives}\n"),)
    ),
)
CALLS = ("a call", "no call")


@dataclass(frozen=True)
class Project:
    """One combination of the options."""

    guard: Guard
    imports: Import
    question: Question
    files: Files
    call: str

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {_shown(getattr(self, field.name))}" for field in fields(self))

    @property
    def cell(self) -> dict[str, str]:
        """The option on each axis."""
        return {field.name: _shown(getattr(self, field.name)) for field in fields(self)}

    def texts(self) -> dict[str, str]:
        """The project's files."""
        given = {"import": self.imports.line, "bound": self.imports.bound}
        guard = self.guard.text.format_map(given) + "\n"
        gives = self.guard.gives.format_map(given)
        condition = self.files.prefix + self.guard.condition.format_map(given)
        slow = "eager(q, k, v)"
        fast = f"{self._callee(gives)}(q, k, v)" if self.call == "a call" else "eager(q, k, v) * 1"
        head = self._head(guard, gives, condition)
        asked = self.question.text.format_map({"condition": condition, "fast": fast, "slow": slow})
        texts = {"eager.py": EAGER, "main.py": f"from eager import eager\n\n{head}{asked}"}
        if self.files.guard_in != "main.py":
            texts[self.files.guard_in] = guard
        return texts | {name: text.format_map({"gives": gives}) for name, text in self.files.more}

    def _callee(self, gives: str) -> str:
        handed = self.files.prefix if gives == self.imports.bound else ""
        return handed + self.imports.callee

    def _head(self, guard: str, gives: str, condition: str) -> str:
        """What stands above the question: the guard itself, or the import of what it gives, and of the operator."""
        if self.files.guard_in == "main.py":
            return guard
        take = self.files.take.format_map({"gives": gives}) + "\n"
        if gives == self.imports.bound or self.call == "no call":
            return take
        return take + f"\nif {condition}:\n" + textwrap.indent(self.imports.line, "    ") + "\n"


def _shown(option: object) -> str:
    return str(getattr(option, "name", option))


def _ordered() -> Iterator[Project]:
    """Every project; first those that bring a cell of the table which none before has."""
    every = [Project(*options) for options in itertools.product(GUARDS, IMPORTS, QUESTIONS, FILES, CALLS)]
    random.Random(16).shuffle(every)
    missing = set(CELLS)
    first = []
    while missing:
        best = max(every, key=lambda project: len(cells(project) & missing))
        first.append(best)
        missing -= cells(best)
    yield from first
    yield from (project for project in every if project not in first)


def cells(project: Project) -> set[tuple[str, str, str]]:
    """The cells of the table in which a project stands: an axis, the option on it, with or without a call."""
    options = project.cell
    call = options.pop("call")
    return {(axis, option, call) for axis, option in options.items()}


CELLS = frozenset(
    (axis, option.name, call)
    for axis, options in (("guard", GUARDS), ("imports", IMPORTS), ("question", QUESTIONS), ("files", FILES))
    for option in options
    for call in CALLS
)
"""The table: every option of every axis, with and without a call. No cell may be empty."""
PROJECTS = tuple(_ordered())
"""Every project, none twice."""
SHORT = next(n for n in range(len(PROJECTS)) if set().union(*map(cells, PROJECTS[:n])) >= CELLS)
"""How many of them have every cell."""
