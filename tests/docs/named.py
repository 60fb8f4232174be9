"""Whether what a page names is there: a command of ours with its options and their values, a script, a module."""

from __future__ import annotations

import re

import click

from tests.docs.pages import ROOT
from xf2sdpa.cli import cli
from xf2sdpa.flags import table
from xf2sdpa.rewrite import pages

NOT_OURS = {"--xformers", "-I", "-E", "-S", "-c", "-O"}
"""Options of users' programs and of Python that the pages name."""
SCRIPTS = {"--check", "--every", "--record"}
"""Options of scripts in benchmarks and docs/make."""


def wrong(line: str) -> str:
    """What is wrong with a command; empty if nothing."""
    words = line.partition(" -- ")[0].partition("#")[0].replace("[", "").replace("]", "").split()
    if words[0] == "xf2sdpa":
        return unknown(words[1:])
    if words[1] == "-m":
        return wrong_module(words[2], words[3:])
    if words[1].startswith(("benchmarks/", "docs/", "examples/")):
        script = ROOT / words[1].rstrip("…")
        if not script.exists():
            return "no such script"
        text = script.read_text("utf-8") if script.is_file() else ""
        text += (script.parent / "pages.py").read_text("utf-8") if script.parent.name == "make" else ""
        return next((f"no {word}" for word in words[2:] if word.startswith("--") and f'"{word}"' not in text), "")
    return ""


def wrong_module(module: str, rest: list[str]) -> str:
    """What is wrong with `python -m MODULE …`: a module of ours must be there, and what pytest is given."""
    if module == "pytest":
        return next((f"no {word}" for word in rest if word.startswith("tests/") and not (ROOT / word).exists()), "")
    file = ROOT.joinpath(*module.split("."))
    if module.partition(".")[0] in ("tests", "xf2sdpa"):
        return "" if file.with_suffix(".py").exists() or (file / "__main__.py").exists() else "no such module"
    return "" if module.partition(".")[0] in ("all_repos", "build", "libcst", "venv") else "an unknown module"


def unknown(words: list[str]) -> str:
    """What of a command line of ours does not exist: the command, an option, a value, a page of `explain`."""
    command = cli.get_command(click.Context(cli), words[0])
    if command is None:
        return words[0] if re.fullmatch(r"[a-z]+", words[0]) else ""
    if words[0] == "explain":
        return next((f"no page {word}" for word in words[1:] if word != "CODE" and pages.explain(word) is None), "")
    options = [(*word.partition("=")[::2], value) for word, value in zip(words[1:], [*words[2:], ""], strict=False)]
    asked = [(option, given or value) for option, given, value in options if re.match(r"--?[a-z]", option)]
    return next((told for option, value in asked if (told := wrong_value(command, option, value))), "")


def wrong_option(line: str) -> str:
    """What is wrong with an option that stands for itself: no command has it, or none that value."""
    option, _, value = line.partition(" ")
    if option in ("-", "--") or option in NOT_OURS:
        return ""
    groups = [
        found for word in cli.list_commands(click.Context(cli)) if (found := cli.get_command(click.Context(cli), word))
    ]
    told = [wrong_value(command, option, value) for command in groups]
    if option in SCRIPTS:
        return ""
    return "" if "" in told else told[0]


def wrong_value(command: click.Command, option: str, value: str) -> str:
    """What is wrong with an option of a command; its value counts where it is a word and the option takes only some."""
    found = [p for p in command.params if isinstance(p, click.Option) and option in (*p.opts, *p.secondary_opts)]
    if not found:
        return "" if option == "--help" else f"no {option}"
    choices = list(getattr(found[0].type, "choices", ()))
    if option == "--flags":
        choices = list(table.CHOICES)
    known = all(part in choices for part in re.split(r"[|,]", value))
    return f"no {option} {value}" if choices and re.fullmatch(r"[a-z0-9|,-]+", value) and not known else ""
