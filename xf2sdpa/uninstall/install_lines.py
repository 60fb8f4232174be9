"""Shell lines of notebooks that install xformers, among other things: the same lines without it.

Understood are `pip`, `python -m pip`, `uv pip`, `conda` and `mamba`, in chains (`&&`, `;`), over continued lines, with
requirements by name, path or address. A line that holds more of the shell than that is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NAMED = re.compile(r"xformers|\bmslk\b", re.IGNORECASE)
_TOKEN = re.compile(
    r"""
    (?P<gap>(?:[ \t]|\\\r?\n)+)
  | (?P<comment>(?<!\S)\#[^\n]*)
  | (?P<redirection>&>>?[ \t]*[^\s;&|<>]+|\d*(?:>>?|<)(?:&\d|[ \t]*[^\s;&|<>]+))
  | (?P<link>&&|\|\||\|&?|;|&|\r?\n)
  | (?P<word>(?:"(?:\\.|[^"\\])*"|'[^']*'|\{[^{}\n]*\}|\\[^\r\n]|(?<=[\w\]])[<>](?==|\d)|[^\s"'\\;&|<>(){}`])+)
    """,
    re.VERBOSE,
)
_OURS = re.compile(r"(?:[\w.-]+::)?(?:xformers|mslk)(?:\[[^]]*\])?\s*(?:[=<>!~@;].*)?", re.IGNORECASE | re.DOTALL)
_OUR_FILE = re.compile(r"(?:xformers|mslk)(?:[-_.].*)?", re.IGNORECASE)
_PIP = re.compile(r"pip\d?(?:\.\d+)?")
_PYTHON = re.compile(r"python[\d.]*|\{sys\.executable\}|\$\{?\w*PYTHON\w*\}?|\$sys\.executable")
_PREFIX = re.compile(r"[A-Za-z_]\w*=.*|sudo|-[HEn]|time|env|nohup|yes", re.DOTALL)
_PROGRAM = re.compile(r"python[\d.]*|accelerate|torchrun|deepspeed|streamlit|bash|sh|source|make|\./.*|\{.*")
_FILTERS = frozenset({"tail", "head", "grep", "cat", "tee", "wc"})
_WITH_VALUE = frozenset(
    [
        *("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-i", "--index-url"),
        *("--extra-index-url", "-f", "--find-links", "-t", "--target", "--platform", "--python-version"),
        *("--implementation", "--abi", "--prefix", "--root", "--src", "--upgrade-strategy", "--no-binary"),
        *("--only-binary", "--python", "--progress-bar", "--trusted-host", "--timeout", "--default-timeout"),
        *("--retries", "--proxy", "--cert", "--cache-dir", "--log", "-C", "--config-settings", "--global-option"),
        *("--install-option", "--use-feature", "--report", "--channel", "-n", "--name", "-p", "--file", "--index"),
        *("--default-index", "--index-strategy", "--prerelease", "--torch-backend"),
    ]
)
"""Options of pip, uv and conda that take the next word."""
_SOURCES = frozenset({"-r", "--requirement", "-e", "--editable", "--file"})
"""Options whose value is something to install."""
_CHANNELS = frozenset({"-c", "--channel"})
"""Of conda: where packages come from; xformers' own has nothing else."""
_CONDA = ("conda", "mamba", "micromamba")


@dataclass(frozen=True)
class _Word:
    """A word of a command, and where it stands in the line."""

    start: int
    end: int
    text: str
    spaced: int
    """Where the gap before it starts."""


@dataclass
class _Step:
    """A pipeline: the commands in it, where it stands, and the link to the one before."""

    link: str
    start: int
    end: int
    commands: list[list[_Word]]


def without_ours(line: str) -> str | None:
    """A line without xformers among what it installs; empty if nothing of it is left.

    None where it does not install xformers, or is not understood.

    >>> without_ours("!pip install -q xformers==0.0.20 triton")
    '!pip install -q triton'
    """
    if not NAMED.search(line):
        return None
    steps = _steps(line)
    if steps is None:
        return None
    kept, done = [], False
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        cuts = [_cuts(command) for command in step.commands]
        if all(cut is not None and not cut for cut in cuts):
            kept.append((step, line[step.start : step.end]))
            continue
        done = True
        if any(cut is None for cut in cuts):
            linked = (step.link, following.link if following else "")
            others = [command[0].text for command, cut in zip(step.commands, cuts, strict=True) if cut is not None]
            if not {"||", "&"}.isdisjoint(linked) or not _FILTERS.issuperset(others):
                return None
            continue
        kept.append((step, _cut(line, step, [span for cut in cuts for span in cut or ()])))
    if not done or any(NAMED.search(option) for step, text in kept for option in _options_left(text)):
        return None
    return _joined(line, steps, kept)


def names_ours(line: str) -> bool:
    """Whether a shell line or magic names xformers, other than to remove it; comments do not count."""
    if not NAMED.search(line):
        return False
    steps = _steps(line)
    if steps is None:
        return True
    commands = (command for step in steps for command in step.commands)
    return any(NAMED.search(word.text) for command in commands if not _is_removal(command) for word in command)


def brings_code(line: str) -> bool:
    """Whether a line runs or fetches code whose imports are not known: a script, a launcher, a repository."""
    steps = None if line.startswith("%run") else _steps(line)
    if steps is None:
        return re.search(r"%run|\b(?:python|accelerate|torchrun|deepspeed|git clone)\b", line) is not None
    return any(_is_program(command) for step in steps for command in step.commands)


def _is_program(command: Sequence[_Word]) -> bool:
    words = _bare(command)
    if words[:2] == ["git", "clone"]:
        return True
    if not words or not _PROGRAM.fullmatch(words[0].rpartition("/")[2] if words[0][0] == "/" else words[0]):
        return False
    return not (
        _after_installer(command) or words[1:3] == ["-m", "pip"] or words[1:2] in (["-c"], ["-V"], ["--version"])
    )


def _is_removal(command: Sequence[_Word]) -> bool:
    words = _bare(command)
    return "uninstall" in words or (bool(words) and words[0] in _CONDA and "remove" in words)


def _steps(line: str) -> list[_Step] | None:
    """The pipelines of a line, behind its `!` or `%`; None where it holds what is not understood."""
    place = 1 if line[:1] in {"!", "%"} else 0
    place = 2 if line[:2] in {"!!", "%%"} else place
    steps: list[_Step] = []
    words: list[_Word] = []
    commands: list[list[_Word]] = []
    link, spaced = "", place
    start = end = place
    while place < len(line):
        token = _TOKEN.match(line, place)
        if token is None:
            return None
        if token["word"]:
            start = token.start() if not (words or commands) else start
            words.append(_Word(token.start(), token.end(), token["word"], spaced))
        elif token["link"] in ("|", "|&"):
            commands.append(words)
            words = []
        elif token["link"]:
            commands += [words] if words else []
            steps += [_Step(link, start, end, commands)] if commands else []
            link, words, commands = token["link"], [], []
        if token["word"] or token["redirection"]:
            end = token.end()
        spaced = place = token.end() if not token["gap"] else place
        place = token.end()
        if token["gap"]:
            spaced = token.start()
    commands += [words] if words else []
    steps += [_Step(link, start, end, commands)] if commands else []
    return steps if all(all(step.commands) for step in steps) else None


def _bare(command: Sequence[_Word]) -> list[str]:
    """The words of a command without quotes, and without what only sets it going."""
    words = [_unquoted(word.text) for word in command]
    first = next((index for index, word in enumerate(words) if not _PREFIX.fullmatch(word)), len(words))
    return words[first:]


def _unquoted(word: str) -> str:
    return re.sub(r"""["']|\\(?=.)""", "", word)


def _after_installer(command: Sequence[_Word]) -> int:
    """The index of the first word behind `pip install`; 0 where a command is nothing of the kind."""
    words = _bare(command)
    skipped = len(command) - len(words)
    tool = words[0].rpartition("/")[2] if words else ""
    if _PYTHON.fullmatch(tool) and words[1:3] == ["-m", "pip"]:
        place = 3
    elif tool == "uv" and words[1:2] in (["pip"], ["add"]):
        place = 2 if words[1] == "pip" else 1
    elif _PIP.fullmatch(tool) or tool in _CONDA:
        place = 1
    else:
        return 0
    while place < len(words) and words[place].startswith("-"):
        place += 1
    verb = words[place] if place < len(words) else ""
    return skipped + place + 1 if verb == "install" or (tool == "uv" and verb == "add") else 0


def _cuts(command: Sequence[_Word]) -> list[tuple[int, int]] | None:
    """The spans of a command that go with xformers: none, or None where nothing would be left to install."""
    first = _after_installer(command)
    if not first:
        return []
    conda = _bare(command)[0].rpartition("/")[2] in _CONDA
    cuts: list[tuple[int, int]] = []
    channels: list[tuple[int, int]] = []
    others = False
    place = first
    while place < len(command):
        word, option = command[place], _unquoted(command[place].text)
        place += 1
        if option in _WITH_VALUE and place < len(command):
            value = _unquoted(command[place].text)
            span = word.spaced, command[place].end
            place += 1
            if option in _SOURCES and _is_ours(value):
                cuts.append(span)
            elif conda and option in _CHANNELS and NAMED.match(value):
                channels.append(span)
            else:
                others |= option in _SOURCES
        elif not option.startswith("-") and _is_ours(option):
            cuts.append((word.spaced, word.end))
        else:
            others |= not option.startswith("-") or option.startswith(tuple(f"{o}=" for o in _SOURCES))
    if not cuts:
        return []
    return [*cuts, *channels] if others else None


def _is_ours(requirement: str) -> bool:
    """Whether a requirement is xformers: by its name, or as a file or repository of that name."""
    if _OURS.fullmatch(requirement):
        return True
    last = re.split(r"[#?]", requirement)[0].rstrip("/").rpartition("/")[2].partition("@")[0]
    return ("/" in requirement or last.endswith((".whl", ".tar.gz"))) and _OUR_FILE.fullmatch(last) is not None


def _cut(line: str, step: _Step, spans: Sequence[tuple[int, int]]) -> str:
    text = line[step.start : step.end]
    for start, end in sorted(spans, reverse=True):
        text = text[: start - step.start] + text[end - step.start :]
    return text


def _options_left(text: str) -> Iterator[str]:
    """The words of a step's new text that install something and yet name xformers: `--no-binary=xformers`."""
    for step in _steps(text) or ():
        for command in step.commands:
            first = _after_installer(command)
            yield from (word.text for word in command[first:] if first and not word.text.startswith(("{", "$", "-r")))


def _joined(line: str, steps: Sequence[_Step], kept: Sequence[tuple[_Step, str]]) -> str:
    """The steps that stay, with the links between them as they were; empty if none does."""
    if not kept:
        return ""
    text = line[: steps[0].start]
    for number, (step, own) in enumerate(kept):
        before = steps[steps.index(step) - 1] if number else None
        text += line[before.end : step.start] if before is not None else ""
        text += own
    return text + (line[steps[-1].end :] if kept[-1][0] is steps[-1] else "")
