"""Where the report of a run goes, and in which formats: to standard output, and to the files that were asked for."""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from xf2sdpa.console import give_up, silence
from xf2sdpa.folding import show
from xf2sdpa.model import Pin, Run

TEXT = "text"
FORMATS = (TEXT, "json", "github", "sarif", "gitlab", "rdjson", "junit", "markdown", "diff")
"""The formats: all but text are modules of `xf2sdpa.report` with a function `render`."""


def pairs(options: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Each format asked for, with the file it goes to; None is standard output, which one format takes.

    The first `--output-format` goes to the first `--output-file`, and so on. Where files take all, standard output gets
    the report for a person.
    """
    formats, files = list(options["output_format"]), list(options["output_file"])
    if len(files) > max(1, len(formats)) or len(formats) > len(files) + 1:
        give_up("every --output-file takes one --output-format, and one more goes to standard output")
    if "-" in files:
        give_up("--output-file: - is no file", "Without --output-file, the format goes to standard output.")
    rest = formats[len(files) :] or [TEXT]
    return [*zip(formats or [TEXT], files, strict=False), (rest[0], None)]


def tell(
    run: Run,
    pin: Pin | None,
    options: dict[str, Any],
    *,
    written: bool,
    errors: bool = False,
    paths: Collection[str] = (),
) -> None:
    """Print the report, and write the files that take one.

    Args:
        run: what happened.
        pin: the lowest torch version that the project admits, and where it says so.
        options: of the command line.
        written: whether the changes are in the files.
        errors: whether text goes to standard error, as standard output holds something else.
        paths: what the run was given, as typed.
    """
    for name, file in pairs(options):
        if file is not None:
            _write(file, _rendered(name, run, pin, options, written=written))
        elif name == TEXT:
            if options["diff"]:
                from xf2sdpa.report.diff import lines  # noqa: PLC0415 - only for a diff

                found = lines(run, by_cells=True, shown=sys.stdout.isatty())
                click.echo(_coloured(_for_readers("".join(found))), nl=False)
            show(_text(run, pin, options, written=written, paths=paths), errors=errors or bool(options["diff"]))
        else:
            document = _rendered(name, run, pin, options, written=written)
            if name == "diff":
                click.echo(_coloured(_for_readers(document)), nl=False)
            else:
                click.echo(document.encode("utf-8"), nl=False)


def to_standard_output(options: dict[str, Any]) -> str:
    """The format that standard output gets."""
    return pairs(options)[-1][0]


def _rendered(name: str, run: Run, pin: Pin | None, options: dict[str, Any], *, written: bool) -> str:
    if name == TEXT:
        return "".join(f"{click.unstyle(line)}\n" for line in _text(run, pin, options, written=written))
    rendered: str = importlib.import_module(f"xf2sdpa.report.{name}").render(run, pin, written=written)
    return rendered


def _text(
    run: Run, pin: Pin | None, options: dict[str, Any], *, written: bool, paths: Collection[str] = ()
) -> Iterator[str]:
    from xf2sdpa.report import text  # noqa: PLC0415 - not for the formats of programs

    verbose = -1 if options["quiet"] else int(options["verbose"])
    return text.lines(run, pin, written=written, verbose=verbose, statistics=options["statistics"], paths=paths)


def _write(file: str, document: str) -> None:
    from xf2sdpa.files.source import SourceError, write  # noqa: PLC0415 - only for a file

    try:
        write(Path(file), document.encode("utf-8", "surrogateescape"))
    except SourceError as error:
        give_up(f"--output-file: {file} {error.message}")


def _for_readers(diff: str) -> str:
    """A diff as it is, for files and pipes; where it is shown, without what does something there."""
    from xf2sdpa.report.changes import split_lines  # noqa: PLC0415 - only for a diff
    from xf2sdpa.report.shown import plain_code  # noqa: PLC0415 - only for a diff

    runner = os.environ.get("GITHUB_ACTIONS") == "true" and not _is_file(sys.stdout)
    if not (runner or sys.stdout.isatty()):
        return diff
    return "".join(plain_code(line.rstrip("\r\n")) + "\n" for line in split_lines(diff))


def _is_file(stream: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _coloured(diff: str) -> str:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return "".join(
        click.style(line, fg=colours.get(line[0]), bold=line.startswith(("+++", "---")))
        for line in diff.splitlines(keepends=True)
    )


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Let `rewrite … | head` end with the status of what was done; nobody reads on."""
    try:
        yield
    except BrokenPipeError:
        silence()


def list_plainly(files: Iterable[str]) -> None:
    """Print the names of files, one a line, as they may be printed."""
    from xf2sdpa.files.plain import plain  # noqa: PLC0415 - only for this

    for file in files:
        click.echo(plain(file))
