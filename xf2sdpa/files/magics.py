"""What a notebook's cell holds that IPython takes and Python does not: magics, shell lines, questions for help.

Each such line is masked by a call of as many lines, so that the rest of the cell is Python, line by line where it was;
a cell that is something else as a whole (a `%%bash` cell, one that no parser takes) is masked as a whole. The call
reads the names that the masked text may read, so that nobody takes them for unused.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

LINE = "_xf2sdpa_line_"
"""The function that stands for masked text; its first argument is the number of that text."""
PYTHON_CELLS = ("capture", "prun", "time", "timeit")
"""Cell magics below which Python follows that runs in the notebook's own namespace."""
_MASKED = re.compile(rf"{LINE}\((\d+)[^)]*\)")
_NOT_PYTHON = frozenset(
    [
        *("!", "alias", "autoawait", "autoreload", "bash", "bookmark", "cat", "cd", "colors", "conda", "config"),
        *("cp", "cython", "debug", "dhist", "dirs", "env", "file", "gui", "html", "javascript", "js", "latex"),
        *("load", "load_ext", "logstart", "ls", "macro", "man", "mamba", "markdown", "matplotlib", "micromamba"),
        *("mkdir", "more", "mv", "notebook", "perl", "pip", "popd", "pushd", "pwd", "pylab", "pypy", "python"),
        *("python2", "python3", "quickref", "R", "reload_ext", "rm", "rmdir", "ruby", "run", "sc", "script"),
        *("set_env", "sh", "shell", "ssh", "store", "svg", "sx", "system", "tensorboard", "tb", "unalias"),
        *("unload_ext", "uv", "who", "whos", "writefile", "xmode"),
    ]
)
"""Magics whose text is no Python of this notebook, save what stands in braces or behind a dollar sign."""
_ESCAPES = ("%", "!", "?", "/", ",", ";")
_HELP = re.compile(r"[ \t]*%{0,2}[A-Za-z_*][\w.*\[\]'\"]*\?{1,2}[ \t]*;?[ \t]*(?:#.*)?")
_ASSIGNED = re.compile(r"([ \t]*[A-Za-z_][\w., \t\[\]'\"*()]*(?<![=!<>])=[ \t]*)([!%].*)", re.DOTALL)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_BRACED = re.compile(r"\{([^{}]*)\}|\$([A-Za-z_]\w*)")
_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<triple>'{3}|\"{3})|(?P<string>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<escape>\\.)""",
    re.VERBOSE | re.DOTALL,
)
_UNFIT = re.compile("\r(?!\n)|[\0\ud800-\udfff]")
"""Characters that Python's parser takes for something else than a notebook does, or not at all."""


@dataclass
class Masked:
    """Texts that were masked, by number; `whole` are those of whole cells."""

    texts: list[str] = field(default_factory=list)
    whole: set[int] = field(default_factory=set)

    def cell(self, text: str, reads: Sequence[str] = ()) -> str:
        """The call that stands for a whole cell."""
        self.whole.add(len(self.texts))
        return self.call(text, reads)

    def call(self, text: str, reads: Sequence[str] = ()) -> str:
        """The call that stands for a text, with as many lines."""
        self.texts.append(text)
        return f"{LINE}({', '.join([str(len(self.texts) - 1), *reads])}" + "\n" * text.count("\n") + ")"

    def restored(self, code: str) -> str:
        """Code with the masked texts in their places."""
        return _MASKED.sub(lambda match: self.texts[int(match[1])], code)

    def numbers_in(self, code: str) -> list[int]:
        """The numbers of the texts that are masked in code, in their order."""
        return [int(match[1]) for match in _MASKED.finditer(code)]


def masked(source: str, table: Masked, *, python: bool = True) -> str:
    """A cell's source as Python, of as many lines.

    Args:
        source: the cell.
        table: where the masked texts go.
        python: whether the cell is said to be Python at all.
    """
    if not source.strip():
        return source
    if not python:
        return table.cell(source)
    if _UNFIT.search(source) or LINE in source:
        return table.cell(source, _reads(source))
    name = cell_magic(source)
    if name and name not in PYTHON_CELLS:
        return table.cell(source, reads_of(source))
    count = len(table.texts)
    code = "".join(_masked_lines(source.splitlines(keepends=True) if "\r" in source else _lines(source), table))
    if _parses(code):
        return code
    del table.texts[count:]
    return table.cell(source, _reads(source))


def cell_magic(source: str) -> str:
    """The name of a cell's magic; empty where it has none, a comment above it aside."""
    for line in source.split("\n"):
        bare = line.strip()
        if bare.startswith("%%"):
            named = re.search(r"[\w!]+", bare)
            return named[0] if named else "?"
        if bare and not bare.startswith("#"):
            break
    return ""


def reads_of(text: str) -> list[str]:
    """The names that a magic, a shell line or a question for help may read from the notebook."""
    bare = text.lstrip()
    magic = re.match(r"%{1,2}([\w!]+)", bare)
    if bare.startswith("!") or (magic and magic[1] in _NOT_PYTHON):
        first = bare.partition("\n")[0] if magic and bare.startswith("%%") else bare
        return _reads(" ".join(one or other for one, other in _BRACED.findall(first)))
    return _reads(bare[magic.end() :] if magic else bare)


def _reads(text: str) -> list[str]:
    names = dict.fromkeys(_NAME.findall(text))
    return [name for name in names if not keyword.iskeyword(name) and name.isascii()]


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _lines(source: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", source)


def _masked_lines(lines: Sequence[str], table: Masked) -> Iterator[str]:
    """The lines of a cell, those masked that begin a statement and are none of Python's."""
    state = _State()
    index = 0
    while index < len(lines):
        line = lines[index]
        masked = None
        if state.at_start:
            end = index + 1
            while lines[end - 1].rstrip("\r\n").endswith("\\") and end < len(lines):
                end += 1
            masked = _masked_statement("".join(lines[index:end]), table)
        if masked is None:
            state.follow(line)
            yield line
            index += 1
        else:
            yield masked
            index = end


def _masked_statement(text: str, table: Masked) -> str | None:
    """A statement of IPython's alone, masked; None for one of Python's."""
    body = text.rstrip("\r\n")
    ending = text[len(body) :]
    bare = body.lstrip(" \t")
    indent = body[: len(body) - len(bare)]
    if bare.startswith(_ESCAPES) or ("\n" not in body and _HELP.fullmatch(body)):
        return indent + table.call(bare, reads_of(bare)) + ending
    if assigned := _ASSIGNED.fullmatch(body):
        return assigned[1] + table.call(assigned[2], reads_of(assigned[2])) + ending
    return None


class _State:
    """Whether a line is inside a string, a bracket, or a statement that goes on."""

    def __init__(self) -> None:
        self.depth = 0
        self.quote = ""
        self.goes_on = False

    @property
    def at_start(self) -> bool:
        return not (self.depth or self.quote or self.goes_on)

    def follow(self, line: str) -> None:
        """Walk over a line of Python."""
        self.goes_on = False
        place = 0
        while place < len(line):
            if self.quote:
                end = self._end_of_string(line, place)
                if end < 0:
                    return
                place, self.quote = end, ""
                continue
            token = _TOKEN.search(line, place)
            if token is None:
                return
            place = token.end()
            if token["triple"]:
                self.quote = token["triple"]
            elif token["open"]:
                self.depth += 1
            elif token["close"]:
                self.depth = max(0, self.depth - 1)
            elif token["escape"] and not line[token.start() + 1 :].strip():
                self.goes_on = True

    def _end_of_string(self, line: str, place: int) -> int:
        """Where the string ends that is open; -1 where it goes on."""
        while True:
            found = line.find(self.quote, place)
            if found < 0:
                return -1
            before = line[:found]
            if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
                return found + len(self.quote)
            place = found + 1
