"""What a line that is no Python says of xformers: an import, an install, a choice, or only its name; and what to do.

A choice (`--xformers`, `attention: xformers`) is never edited: who made it must know what else it decides. It is told
with what would take its place. Whether it needs xformers is for whoever reads it to say: `closing_report` looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from xf2sdpa.model import Bearing
from xf2sdpa.uninstall.requirement_edits.names import Format, format_of, is_lock

WORD = re.compile(r"xformers|\bmslk\b", re.IGNORECASE)
_SCRIPTS = frozenset({".sh", ".bash", ".zsh", ".bat", ".cmd", ".ps1", ".mk", ".nix", ".slurm", ".sbatch", ".fish"})
_CONFIGS = frozenset({".yaml", ".yml", ".json", ".json5", ".jsonc", ".toml", ".ini", ".cfg", ".conf", ".env"})
_DOCS = frozenset({".md", ".mdx", ".rst", ".txt", ".qmd", ".html", ".htm", ".tex", ".adoc"})
_COMMENT = {
    "config": re.compile(r"(?:^|\s)[#;].*"),
    "script": re.compile(r"(?:^|\s)#.*|^\s*(?:rem\b|::).*", re.IGNORECASE),
    "CI": re.compile(r"(?:^|\s)#.*"),
    "Docker": re.compile(r"^\s*#.*"),
}
_IMPORT = re.compile(r"-m\s+xformers\b|\b(?:import|from)\s+xformers\b")
_INSTALL = re.compile(
    r"\b(?:pip3?|uv|conda|mamba|micromamba|poetry|pdm|pipenv|pixi|rye)\b[^|;&]*\b(?:install|add|sync|create)\b"
)
_PACKAGE = re.compile(
    r"""\s+(["']?)(?:[\w.-]+::)?xformers(?:\[[^\]]*\])?(?:\s*[=<>!~]=?=?\s*[\w.*+-]+(?:,[=<>!~]+[\w.*+-]+)*)?\1(?=\s|$|\\)"""
    r"|\s+(?:-e\s+)?(?:git\+)?https?://\S*xformers\S*"
)
_WORDS = re.compile(r"\s+[\w\"'][^\s]*")
_FLAG = re.compile(r"(?<![\w.-])--?[\w-]*xformers[\w-]*")
_SWITCH = re.compile(r"\.(?:enable_xformers\w*|set_use_memory_efficient_attention_xformers)\((?!\s*False)")
_COMMAND = re.compile(r"[$>!%\s]*(?:(?:python3? -m )?pip3?|uv|conda|mamba|poetry|pdm)\s")
_VARIABLE = re.compile(r"(?<![\w-])([A-Za-z_]\w*)=[\"']?([\w-]*xformers[\w-]*)\b", re.IGNORECASE)
_KEY = re.compile(r"""["']?([\w.-]*xformers[\w.-]*)["']?\s*[:=]\s*(.*?),?\s*$""")
_VALUE = re.compile(r"""["']?([\w.-]+)["']?\s*[:=]\s*["']?([\w.-]*xformers[\w.-]*)["']?\s*,?\s*$""")
_OFF = re.compile(r"""["']?(?:false|no|off|null|none|0|~)?["']?\s*""", re.IGNORECASE)
_TITLES = frozenset({"title", "name", "description", "label", "help", "comment", "local", "image", "text"})

_ENTRY_POINTS = re.compile(
    r"""\s*\[\s*(?:project|tool\s*\.\s*poetry)\s*\.\s*["']?(?:entry-points|scripts|gui-scripts|plugins)["']?\s*[\].]"""
)
"""The head of a table of entry points."""
_DELETE = "delete it: SDPA is the default"
_FLAGS = {
    "--force-enable-xformers": "--opt-sdp-attention",
    "--diffusers_xformers": "--sdpa",
    "--enable_xformers_memory_efficient_attention": "",
    "--enable-xformers-memory-efficient-attention": "",
}
_PROGRAMS = (
    (re.compile(r"webui|COMMANDLINE_ARGS|launch\.py"), "--opt-sdp-attention"),
    (re.compile(r"comfy|\bmain\.py", re.IGNORECASE), "--use-pytorch-cross-attention"),
    (re.compile(r"train|gen_img|fine_tune|sd-scripts|kohya|accelerate"), "--sdpa"),
)
"""What `--xformers` is called where a program of this name takes it."""
_KEYS = {"xformers_attention": "sdp_attention"}
_VALUES = {
    "softmax-xformers": "softmax",
    "vanilla-xformers": "vanilla",
    "memory-efficient-cross-attn": "softmax",
}
_BACKENDS = {"DIFFUSERS_ATTN_BACKEND": "native", "attention_backend": "native"}


@dataclass(frozen=True)
class Said:
    """What a line says.

    Attributes:
        line: its number.
        bearing: CHOICE where it is for others to say whether it needs xformers.
        text: the line.
        advice: what to do.
        token: of a choice the word that whoever takes it must know.
    """

    line: int
    bearing: Bearing
    text: str
    advice: str
    token: str = ""


def kind_of(file: PurePath) -> str:
    """What sort of file this is."""
    name, ending, parts = file.name.lower(), file.suffix.lower(), {part.lower() for part in file.parts[:-1]}
    if ending in (".py", ".pyi"):
        return "requirements" if format_of(file) is Format.SETUP else "code"
    if ending == ".ipynb":
        return "notebook"
    if is_lock(file):
        return "lock"
    if "docker" in name and ending not in _DOCS:
        return "Docker"
    if {".github", ".circleci", ".gitlab", ".buildkite"} & parts or name in (".gitlab-ci.yml", ".travis.yml"):
        return "CI"
    if format_of(file) is not None:
        return "requirements"
    if ending in _SCRIPTS or name in ("makefile", "justfile"):
        return "script"
    if ending in _DOCS or {"docs", "doc"} & parts or name in ("_quarto.yml", "mkdocs.yml", "_toctree.yml"):
        return "docs"
    return "config" if ending in _CONFIGS else "other"


def entry_points(text: str) -> frozenset[int]:
    """The lines of a pyproject.toml that are entry points: names of the project's own for modules of its own."""
    found, inside = set(), False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            inside = _ENTRY_POINTS.match(line) is not None
        elif inside:
            found.add(number)
    return frozenset(found)


def said_in(kind: str, text: str) -> Iterator[Said]:
    """What the lines of a file that is no Python say; several that only name it come as they are."""
    comment = _COMMENT.get(kind)
    for number, line in enumerate(text.splitlines(), 1):
        if "xformers" not in line.lower():
            continue
        bare = (comment.sub("", line) if comment else line).strip()
        if "xformers" not in bare.lower():
            yield Said(number, Bearing.NAMES, line.strip(), "a comment")
        elif kind in ("script", "CI", "Docker", "other", "requirements"):
            yield _of_command(number, bare)
        elif kind == "config":
            yield _of_setting(number, bare)
        else:
            yield Said(number, Bearing.NAMES, bare, _of_prose(bare))


def _of_prose(line: str) -> str:
    """What to do about a line of documentation that a reader may paste; empty for one that only speaks of it."""
    if _SWITCH.search(line):
        return "delete the line: without xformers it raises, and SDPA is diffusers' default"
    if _COMMAND.match(line) and _INSTALL.search(line):
        return _without_package(line)
    flag = _FLAG.search(line)
    return f"{flag[0]}: {_instead_of_flag(flag[0], line)}" if flag else ""


def _of_command(number: int, line: str) -> Said:
    if _IMPORT.search(line):
        return Said(number, Bearing.NEEDS, line, "Run something else there: without xformers this fails.")
    if _INSTALL.search(line):
        return Said(number, Bearing.NAMES, line, _without_package(line))
    flag = _FLAG.search(line)
    if flag:
        return Said(number, Bearing.CHOICE, line, f"{flag[0]}: {_instead_of_flag(flag[0], line)}", flag[0])
    variable = _VARIABLE.search(line)
    if variable:
        return Said(number, Bearing.CHOICE, line, _instead_of_value(variable[1], variable[2]), variable[2])
    return Said(number, Bearing.NAMES, line, "")


def _of_setting(number: int, line: str) -> Said:
    if _INSTALL.search(line) or _FLAG.search(line) or _IMPORT.search(line):
        return _of_command(number, line.lstrip("- "))
    value = _VALUE.search(line)
    if value and value[1].lower() not in _TITLES:
        if value[2].startswith("xformers."):
            return Said(number, Bearing.NEEDS, line, f"{value[2]} is imported by its name: name another.")
        if value[2] == value[2].lower() or value[1] in _BACKENDS:
            return Said(number, Bearing.CHOICE, line, _instead_of_value(value[1], value[2]), value[2])
    key = _KEY.search(line)
    if key and not _OFF.fullmatch(key[2]) and not value:
        new = _KEYS.get(key[1])
        advice = f"{key[1]}: {f'write {new}' if new else _DELETE}"
        return Said(number, Bearing.CHOICE, line, advice, key[1])
    return Said(number, Bearing.NAMES, line, "")


def _instead_of_flag(flag: str, line: str) -> str:
    new = _FLAGS.get(flag)
    if flag == "--xformers":
        new = next((option for program, option in _PROGRAMS if program.search(line)), None)
        if new is None:
            return "write what the program calls SDPA: --sdpa, --opt-sdp-attention, --use-pytorch-cross-attention"
    return f"write {new}" if new else _DELETE


def _instead_of_value(key: str, value: str) -> str:
    new = _VALUES.get(value) or _BACKENDS.get(key) or re.sub(r"xformers", "sdpa", value, flags=re.IGNORECASE)
    return f"{key}: write {new} in place of {value}"


def _without_package(line: str) -> str:
    """The line as it is without the package; or that it can go."""
    rest = _PACKAGE.sub("", line)
    if rest == line:
        return "drop xformers from it"
    command = _INSTALL.search(rest)
    behind = rest[command.end() :] if command else ""
    named = [word for word in _WORDS.findall(behind) if not word.strip().startswith("-")]
    options = re.findall(r"(?:--?[\w-]*(?:url|links|index|channel|f|c|i|r))[ =]+\S+", behind)
    alone = len(named) <= sum(" " in option for option in options)
    return "delete the line" if alone and " -r " not in f"{behind} " else f"write: {rest.strip()}"
