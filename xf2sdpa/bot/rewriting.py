"""The rewrite itself, as `xf2sdpa rewrite` makes it: the same options in, its JSON report out."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from xf2sdpa.bot.model import BotError
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.notebook import PATTERN
from xf2sdpa.files.patterns import INCLUDE
from xf2sdpa.run.command import command

_OURS = (
    "check",
    "diff",
    "output_format",
    "output_file",
    "statistics",
    "show_files",
    "stdin_filename",
    "quiet",
    "journal",
)
"""Options that the bot sets itself."""


def checked(arguments: Sequence[str]) -> None:
    """See to it that what follows `--` is fit for `rewrite`.

    Raises:
        BotError: it is not.
    """
    try:
        context = command.make_context("rewrite", list(arguments))
    except click.ClickException as error:
        raise BotError(f"after --, for `xf2sdpa rewrite`: {error.format_message()}") from None
    given = [name for name in _OURS if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if given:
        raise BotError(f"after --, for `xf2sdpa rewrite`: --{given[0].replace('_', '-')} is not for a pull request")
    for path in context.params["paths"]:
        if path == "-" or os.path.isabs(path) or ".." in path.replace("\\", "/").split("/"):  # noqa: PTH117
            raise BotError(f"after --, for `xf2sdpa rewrite`: {path} is not below the top of the repository")


def words_for(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Options and paths of the rewrite: where nobody says where to work, all of a folder.

    Raises:
        BotError: the project's configuration is wrong.
    """
    says_where = command.make_context("rewrite", list(arguments)).params["paths"] or _has_paths(folder)
    return [*arguments, *(() if says_where else (".",))]


def rewritten(folder: Path, words: Sequence[str]) -> dict[str, Any]:
    """Rewrite the files below a folder, and return the report, whose paths begin there.

    Raises:
        BotError: the rewrite did not begin: a wrong option, a path that is not there, a wrong configuration.
    """
    if not list_files([str(folder)], include=(*INCLUDE, PATTERN)):  # for a person the wrong folder; here nothing to do
        return {"files": [], "helpers": []}
    with _inside(folder), _caught() as printed:
        status: int | str | None = 0
        try:
            command.main(
                ["--no-journal", "--output-format", "json", *words], prog_name="xf2sdpa rewrite", standalone_mode=False
            )
        except SystemExit as end:
            status = end.code
        except click.ClickException as error:
            raise BotError(error.format_message()) from None
    try:
        report: dict[str, Any] = json.loads(printed.getvalue())
    except ValueError:
        raise BotError(f"the rewrite did not begin (exit status {status}); its reason stands above") from None
    return report


def _has_paths(folder: Path) -> bool:
    """Whether the project says where to work."""
    from xf2sdpa.files.pyproject import SettingsError  # noqa: PLC0415 - imported by the rewrite, when it begins
    from xf2sdpa.run.configuration import load  # noqa: PLC0415

    try:
        return bool(load(folder).paths)
    except SettingsError as error:
        raise BotError(str(error)) from None


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _caught() -> Iterator[io.BytesIO]:
    """Catch what is printed on standard output."""
    printed = io.BytesIO()
    stream = io.TextIOWrapper(printed, "utf-8", write_through=True)
    with contextlib.redirect_stdout(stream):
        yield printed
    stream.flush()
    stream.detach()
