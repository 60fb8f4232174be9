"""The command `xf2sdpa rewrite`: options in, exit status out."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xf2sdpa.console import give_up, silence

# Imports where they are needed: `--help` and a file without a match need none of them.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from xf2sdpa.model import FileResult, Pin, Run
    from xf2sdpa.settings import Settings

SOME = 8
"""Files from which on a progress bar is worth its line."""


class _Rewrite(click.Command):
    """A command that is often given names that nobody looked at."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse an option that may be the name of a file: a hook or a shell's `*` may have meant that."""
        for word in itertools.takewhile(lambda word: word != "--", args):
            if word.startswith("-") and word != "-" and os.path.lexists(word):
                give_up(f"{word} is the name of a file here, and may be an option", "Put -- before names of files.")
        return super().parse_args(ctx, args)


@click.command("rewrite", cls=_Rewrite)
@click.argument("paths", nargs=-1, type=click.Path(path_type=str, allow_dash=True))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if something would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print the diff; exit 1 if something would change.")
@click.option("--only", type=click.Choice(["exact"]), help="Rewrite only what rests on no assumption.")
@click.option("--no-helper", is_flag=True, help="Make no helper module; leave the calls that would need one.")
@click.option("--no-new-files", is_flag=True, help="Use a helper module only where there is one already.")
@click.option("--strict", is_flag=True, help="Exit 1 if a call site is left, save where you asked for it.")
@click.option("--select", "select", metavar="CODES", help="Only these rules: code prefixes, separated by commas.")
@click.option("--ignore", "ignore", metavar="CODES", help="Not these rules.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Files to take out of a folder (*.py, *.pyi).")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files and folders to leave out, as in a .gitignore.")
@click.option(
    "--device", type=click.Choice(["h200", "any"]), help="What the result runs on; h200 (the default) guards masks."
)
@click.option("--style", type=click.Choice(["inline", "compat"]), help="compat sends every call to the helper module.")
@click.option(
    "--flags",
    metavar="h200|safe|off|keep|FLAG,…",
    help="H200 backend flags for entry points: all, those that keep float32 precision, none, as they are, or by name.",
)
@click.option("--flags-in", multiple=True, metavar="FILE", help="Put the flags into this file, not into entry points.")
@click.option("--torch", metavar="VERSION", help="The oldest torch that the project runs with, such as 2.1.")
@click.option(
    "--line-length",
    type=click.IntRange(min=40),
    help="Width of new lines; else ruff's, black's, or the file's own.",
)
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--stdin-filename", default="<stdin>", metavar="NAME", help="What to call standard input (PATHS is -).")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes to use; as many as there are processors.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@click.option("--verbose", "-v", is_flag=True, help="Print advice and notes as well.")
def command(paths: tuple[str, ...], **options: Any) -> None:
    """Rewrite call sites in PATHS, files or folders; - is standard input.

    Exit status: 0 when all that can be done is done; 1 with --check or --diff if something would change, with
    --strict if a site is left that you did not ask to leave; 2 if a file could not be worked on (it then stays as it
    was; the others are done).
    """
    if "-" in paths:
        sys.exit(_standard_input(paths, options))
    settings = _settings(Path(paths[0]) if paths else Path(), options)
    written = not (options["check"] or options["diff"])
    from xf2sdpa.run.lock import alone

    with alone(paths[0] if paths else settings.file or ".") if written else contextlib.nullcontext():
        run = _rewrite(paths, settings, options)
        if written:
            from xf2sdpa.run.write import write_back

            write_back(run)
    from xf2sdpa.uninstall.requirements import no_longer_needed
    from xf2sdpa.uninstall.torch_pin import project_torch

    start = Path(paths[0] if paths else ".")
    run.listed = no_longer_needed(run.results, start)
    pin = (settings.torch, "--torch or pyproject.toml") if settings.torch else project_torch(start)
    with _reader_may_leave():
        _report(run, pin, options, written=written)
    sys.exit(_status(run, options, written=written))


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Let `rewrite … | head` end with the status of what was done; nobody reads on."""
    try:
        yield
    except BrokenPipeError:
        silence()


def _settings(start: Path, options: dict[str, Any]) -> Settings:
    from xf2sdpa.files.pyproject import SettingsError
    from xf2sdpa.run.configuration import idle_codes, load, overridden, selects_nothing

    given = {key: options[key] for key in ("torch", "line_length", "device", "style", "flags")}
    given |= {key: _codes(options[key]) for key in ("select", "ignore")}
    given |= {key: list(options[key]) or None for key in ("include", "exclude", "flags_in")}
    try:
        settings = overridden(load(start), **given)
    except SettingsError as error:
        give_up(str(error))
    for sentence in idle_codes(settings):
        click.echo(f"xf2sdpa: warning: {sentence}", err=True)
    if why := selects_nothing(settings):
        give_up(why, "Name what a run does: XF1 calls and imports, XF5 flags; `xf2sdpa explain` lists all codes.")
    return settings


def _codes(text: str | None) -> list[str] | None:
    return None if text is None else [code.strip() for code in text.rstrip(",").split(",")]


def _rewrite(paths: tuple[str, ...], settings: Settings, options: dict[str, Any]) -> Run:
    from xf2sdpa.files.errors import DiscoverError
    from xf2sdpa.files.listing import list_files
    from xf2sdpa.run.options import RunOptions
    from xf2sdpa.run.refused import refuse_broken_helpers, refuse_ways_out, without_links_out
    from xf2sdpa.run.restored import missing_helpers
    from xf2sdpa.run.rewrite_files import rewrite_files
    from xf2sdpa.uninstall.notebooks import PATTERN

    base = settings.file.parent if settings.file else None
    chosen: list[str | Path] = list(paths) or [(base or Path()) / path for path in settings.paths]
    if settings.file and not paths:
        refuse_ways_out(settings.file, "paths", chosen)
    if not chosen:
        give_up("no paths given, and none configured", "Name files or folders, or set `paths` in [tool.xf2sdpa].")
    try:
        files = list_files(chosen, include=(*settings.include, PATTERN), exclude=settings.all_exclude, base=base)
    except DiscoverError as error:
        give_up(str(error))
    files, refused = without_links_out(files, chosen)
    how = RunOptions(
        flags=_flags(settings, only_exact=options["only"] == "exact"),
        flags_in=_named(settings, options["flags_in"]),
        only_exact=options["only"] == "exact",
        helper=not options["no_helper"],
        new_files=not options["no_new_files"],
        jobs=options["jobs"] or os.cpu_count() or 1,
        progress=_progress(options),
    )
    run = rewrite_files(files, settings, how)
    if how.new_files:
        run.copies += missing_helpers(files, [copy.path for copy in run.copies])
    refuse_broken_helpers(run)
    run.results = sorted([*run.results, *refused], key=lambda result: result.path)
    return run


def _flags(settings: Settings, *, only_exact: bool) -> tuple[str, ...] | None:
    """The flags to set, by name; None to leave every block as it is."""
    from xf2sdpa.flags import table

    words: tuple[str, ...] = settings.flags or ("safe" if only_exact else "h200",)
    if table.KEEP in words:
        return None
    return tuple(flag.name for flag in table.chosen(words)) if settings.device == "h200" else ()


def _named(settings: Settings, given: tuple[str, ...]) -> tuple[str, ...]:
    """The files of `--flags-in`, or of the configuration."""
    base = settings.file.parent if settings.file and not given else Path()
    named = [os.path.normpath(base / name) for name in settings.flags_in]
    if settings.file and not given:
        from xf2sdpa.run.refused import refuse_ways_out

        refuse_ways_out(settings.file, "flags-in", named)
    for name in named:
        if not Path(name).is_file():
            give_up(f"--flags-in: {name} is no file")
    return tuple(named)


def _progress(options: dict[str, Any]) -> Any:
    """A progress bar on standard error, where a person watches and there is something to wait for."""

    def watched(results: Iterable[FileResult], count: int) -> Iterator[FileResult]:
        if count < SOME or options["quiet"] or not sys.stderr.isatty():
            yield from results
            return
        with click.progressbar(results, length=count, label="Rewriting", file=sys.stderr) as bar:
            yield from bar

    return watched


def _report(run: Run, pin: Pin | None, options: dict[str, Any], *, written: bool) -> None:
    from xf2sdpa.report import json, text

    if options["output_format"] == "json":
        click.echo(json.render(run, pin, written=written).encode("utf-8"), nl=False)
        return
    if options["diff"]:
        click.echo(_coloured(_for_readers(text.diff(run))), nl=False)
    verbose = -1 if options["quiet"] else int(options["verbose"])
    for line in text.lines(run, pin, written=written, verbose=verbose):
        click.echo(line, err=bool(options["diff"]))


def _for_readers(diff: Iterable[str]) -> str:
    """A diff as it is, for files and pipes; where it is shown, without what does something there."""
    from xf2sdpa.report.shown import plain_code

    runner = os.environ.get("GITHUB_ACTIONS") == "true" and not _is_file(sys.stdout)
    if not (runner or sys.stdout.isatty()):
        return "".join(diff)
    return "".join(plain_code(line.rstrip("\r\n")) + "\n" for line in diff)


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


def _status(run: Run, options: dict[str, Any], *, written: bool) -> int:
    from xf2sdpa.codes import WISHES
    from xf2sdpa.model import SiteClass

    if run.failed:
        return 2
    if not written and run.changed:
        return 1
    left = (site for result in run.results for site in result.sites if site.kind is SiteClass.LEFT)
    return int(options["strict"] and any(site.code not in WISHES for site in left))


def _standard_input(paths: tuple[str, ...], options: dict[str, Any]) -> int:
    """Rewrite standard input to standard output; the report goes to standard error."""
    if paths != ("-",):
        give_up("- stands for standard input and goes with no other path")
    from xf2sdpa.model import Run
    from xf2sdpa.report import json, text
    from xf2sdpa.run.standard_input import rewrite_bytes

    settings = _settings(Path(options["stdin_filename"]).absolute().parent, options)
    only_exact = options["only"] == "exact"
    if sys.stdin is None:
        give_up("there is no standard input to read")
    data = sys.stdin.buffer.read()
    result, output = rewrite_bytes(data, options["stdin_filename"], settings, only_exact=only_exact)
    run = Run([result] if result.sites or result.findings else [])
    written = not (options["check"] or options["diff"])
    if options["output_format"] == "json":
        click.echo(json.render(run, None, written=written).encode("utf-8"), nl=False)
    elif options["diff"]:
        click.echo(_for_readers(text.diff(run)), nl=False)
    elif written:
        sys.stdout.buffer.write(output)
    if options["output_format"] == "text":
        verbose = -1 if options["quiet"] else int(options["verbose"])
        for line in text.lines(run, None, written=written, verbose=verbose):
            click.echo(line, err=True)
    return _status(run, options, written=written)
