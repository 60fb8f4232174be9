"""The command `xf2sdpa rewrite`: options in, exit status out."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xf2sdpa.console import give_up, say
from xf2sdpa.run.reporting import FORMATS, TEXT, list_plainly, pairs, reader_may_leave, tell, to_standard_output

# Imports where they are needed: `--help` and a file without a match need none of them.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from xf2sdpa.model import FileResult, Pin, Run, Seen
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


@click.command("rewrite", cls=_Rewrite, short_help="Rewrite call sites in files or folders.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=str, allow_dash=True))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if something would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print the diff; exit 1 if something would change.")
@click.option("--only", type=click.Choice(["exact"]), help="Rewrite only what rests on no assumption.")
@click.option(
    "--helper",
    type=click.Choice(["copy", "import", "none"]),
    help="Where calls go that cannot be inline: to a module made in the project (copy), to the installed xf2sdpa, "
    "which it then requires (import), or nowhere: they are left (none).",
)
@click.option("--no-helper", is_flag=True, help="The same as --helper none.")
@click.option("--no-new-files", is_flag=True, help="Use a helper module only where there is one already.")
@click.option("--no-journal", "journal", flag_value=False, default=True, help="Keep nothing for `xf2sdpa undo`.")
@click.option("--strict", is_flag=True, help="Exit 1 if a call site is left, save where you asked for it.")
@click.option(
    "--seen",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="A report of `verify --json` of a program's run, as evidence for ranks and masks (may be repeated).",
)
@click.option("--select", "select", metavar="CODES", help="Only these rules: code prefixes, separated by commas.")
@click.option("--ignore", "ignore", metavar="CODES", help="Not these rules.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Files to take out of a folder (*.py, *.pyi, *.ipynb)."
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files and folders to leave out, as in a .gitignore.")
@click.option(
    "--device", type=click.Choice(["h200", "any"]), hidden=True, help="No longer needed; any means --flags off."
)
@click.option(
    "--nan-guard",
    type=click.Choice(["auto", "on", "off"]),
    help="Which inline calls keep off cuDNN's NaN gradients: masked ones where they can happen (auto), all, or none.",
)
@click.option("--style", type=click.Choice(["inline", "compat"]), help="compat sends every call to the helper module.")
@click.option(
    "--flags",
    metavar="h200|safe|off|keep|FLAG,…",
    help="H200 backend flags for entry points: all, those that keep float32 precision, none, as they are, or by name.",
)
@click.option("--flags-in", multiple=True, metavar="FILE", help="Put the flags into this file, not into entry points.")
@click.option(
    "--requirements",
    type=click.Choice(["edit", "keep"]),
    help="Whether requirement files lose xformers once nothing in the tree needs it (edit), or are only named.",
)
@click.option("--torch", metavar="VERSION", help="The oldest torch that the project runs with, such as 2.1.")
@click.option(
    "--line-length",
    type=click.IntRange(min=40),
    help="Width of new lines; else ruff's, black's, or the file's own.",
)
@click.option(
    "--output-format",
    multiple=True,
    type=click.Choice(FORMATS),
    help="How to report; text is the default. May be repeated beside --output-file.",
)
@click.option(
    "--output-file", multiple=True, metavar="FILE", help="Where the format goes; text is then printed. May be repeated."
)
@click.option("--statistics", is_flag=True, help="Count the codes instead of listing the places.")
@click.option("--show-files", is_flag=True, help="Print the names of the files to look at, and do nothing else.")
@click.option("--stdin-filename", default="<stdin>", metavar="NAME", help="What to call standard input (PATHS is -).")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes to use; as many as there are processors.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@click.option("--verbose", "-v", is_flag=True, help="Print advice and notes as well.")
def command(paths: tuple[str, ...], **options: Any) -> None:
    """Rewrite call sites in PATHS, files or folders; - is standard input.

    Exit status: 0 when all that can be done is done; 1 with --check or --diff if something would change, with
    --strict if a site is left that you did not ask to leave; 2 if a file could not be worked on (it then stays as it
    was; the others are done), or if the project admits no torch that the new code runs with.
    """
    pairs(options)  # before anything is written, for what is wrong there
    if "-" in paths:
        sys.exit(_standard_input(paths, options))
    settings = _settings(Path(paths[0]) if paths else Path(), options)
    if options["show_files"]:
        with reader_may_leave():
            list_plainly(_files(paths, settings))
        return
    written = not (options["check"] or options["diff"])
    from xf2sdpa.files.git import uncommitted
    from xf2sdpa.run.closing import close, no_files
    from xf2sdpa.run.lock import one_run_at_a_time

    with one_run_at_a_time(paths[0] if paths else settings.file or ".") if written else contextlib.nullcontext():
        run, files = _rewrite(paths, settings, options)
        chosen = _chosen(paths, settings)
        close(run, files, chosen, settings)
        if not files and run.closing is None:
            give_up(*no_files(chosen))
        if options["journal"] and run.changed:
            run.uncommitted = uncommitted(str(result.path) for result in run.changed)
        if written:
            from xf2sdpa.files.journal import journal_root
            from xf2sdpa.run.undo_command import tell_of_broken_off
            from xf2sdpa.run.write import write_back

            root = journal_root(chosen) if options["journal"] else None
            if root is not None:
                tell_of_broken_off(root)
            write_back(run, root)
            if run.failed:  # what could not be written is as it was
                close(run, files, chosen, replace(settings, requirements="keep"))
    pin = _pinned(run, Path(paths[0] if paths else "."), settings)
    with reader_may_leave():
        tell(run, pin, options, written=written, paths=[*map(str, chosen)])
    sys.exit(_status(run, options, written=written))


def _pinned(run: Run, start: Path, settings: Settings) -> Pin | None:
    """The oldest torch that the project admits; the run gets to know whether none that it admits is new enough."""
    from xf2sdpa.uninstall.torch_pin import ENDLESS, excluded, project_torch

    if settings.torch:
        return settings.torch, "--torch or pyproject.toml"
    pin = project_torch(start)
    if pin is not None and run.torch_floor is not None and pin[0] < run.torch_floor:
        to_be = {os.path.realpath(result.path): result.new for result in run.results if result.last}
        run.torch_too_old = excluded(start, run.torch_floor, (ENDLESS, 0), texts=to_be)
    return pin


def _settings(start: Path, options: dict[str, Any]) -> Settings:
    from xf2sdpa.files.pyproject import SettingsError
    from xf2sdpa.run.configuration import idle_codes, load, overridden, selects_nothing, without_device

    keys = ("torch", "line_length", "device", "style", "nan_guard", "helper", "flags", "requirements")
    given = {key: options[key] for key in keys}
    if options["no_helper"]:
        given["helper"] = "none"
    given |= {key: _codes(options[key]) for key in ("select", "ignore")}
    given |= {key: list(options[key]) or None for key in ("include", "exclude", "flags_in")}
    try:
        settings = overridden(load(start), **given)
    except SettingsError as error:
        give_up(str(error))
    settings, about_device = without_device(settings)
    for sentence in (*filter(None, [about_device]), *idle_codes(settings)):
        say(f"xf2sdpa: warning: {sentence}")
    if why := selects_nothing(settings):
        give_up(why, "Name what a run does: XF1 calls and imports, XF5 flags; `xf2sdpa explain` lists all codes.")
    return settings


def _codes(text: str | None) -> list[str] | None:
    return None if text is None else [code.strip() for code in text.rstrip(",").split(",")]


def _rewrite(paths: tuple[str, ...], settings: Settings, options: dict[str, Any]) -> tuple[Run, list[str]]:
    """The run, and the files that it looked at."""
    from xf2sdpa.files.git import work_tree
    from xf2sdpa.run.around import around
    from xf2sdpa.run.options import RunOptions
    from xf2sdpa.run.refused import refuse_broken_helpers, without_links_out
    from xf2sdpa.run.restored import missing_helpers
    from xf2sdpa.run.rewrite_files import rewrite_files

    files, refused = without_links_out(_files(paths, settings), _chosen(paths, settings))
    partly = bool(settings.exclude) or settings.include != type(settings)().include
    how = RunOptions(
        flags=_flags(settings, only_exact=options["only"] == "exact"),
        flags_by_name=tuple(settings.flags or ()),
        flags_in=_named(settings, options["flags_in"]),
        only_exact=options["only"] == "exact",
        helper=settings.helper,
        new_files=not options["no_new_files"],
        seen=_seen(options["seen"]),
        jobs=options["jobs"] or os.cpu_count() or 1,
        around=around(files, _chosen(paths, settings), partly=partly),
        progress=_progress(options),
    )
    run = rewrite_files(files, settings, how)
    run.scanned = len(files)
    run.in_git = any(work_tree(str(Path(file).parent)) for file in files[:1])
    if how.new_files:
        run.copies += missing_helpers(files, [copy.path for copy in run.copies])
    refuse_broken_helpers(run)
    run.results = sorted([*run.results, *refused], key=lambda result: result.path)
    return run, files


def _seen(files: tuple[str, ...]) -> dict[Path, dict[str, Seen]]:
    from xf2sdpa.run.seen import read_seen

    try:
        return dict(read_seen(map(Path, files)))
    except ValueError as error:
        give_up(str(error), "`xf2sdpa verify PATHS --json FILE -- python program.py` writes one.")


def _chosen(paths: tuple[str, ...], settings: Settings) -> list[str | Path]:
    """The files and folders to work on: those named, else those configured."""
    from xf2sdpa.run.refused import refuse_ways_out

    base = settings.file.parent if settings.file else Path()
    chosen: list[str | Path] = [*(paths or (os.path.relpath(base / path) for path in settings.paths))]
    if settings.file and not paths:
        refuse_ways_out(settings.file, "paths", chosen)
    if not chosen:
        give_up(
            "no paths given, and none configured",
            "Name files or folders, such as `xf2sdpa rewrite .`, or set `paths` in [tool.xf2sdpa].",
        )
    return chosen


def _files(paths: tuple[str, ...], settings: Settings) -> list[str]:
    """Every file that those stand for."""
    from xf2sdpa.files.errors import DiscoverError
    from xf2sdpa.files.listing import list_files

    include, base = settings.include, settings.file.parent if settings.file else None
    try:
        return list_files(_chosen(paths, settings), include=include, exclude=settings.all_exclude, base=base)
    except DiscoverError as error:
        give_up(str(error))


def _flags(settings: Settings, *, only_exact: bool) -> tuple[str, ...] | None:
    """The flags to set, by name; None to leave every block as it is."""
    from xf2sdpa.flags import table

    words: tuple[str, ...] = settings.flags or ("safe" if only_exact else "h200",)
    if table.KEEP in words:
        return None
    return tuple(flag.name for flag in table.chosen(words))


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

    label = "Checking" if options["check"] or options["diff"] else "Rewriting"

    def watched(results: Iterable[FileResult], count: int) -> Iterator[FileResult]:
        if count < SOME or options["quiet"] or not sys.stderr.isatty():
            yield from results
            return
        with click.progressbar(results, length=count, label=label, item_show_func=_name_of, file=sys.stderr) as bar:
            yield from bar

    return watched


def _name_of(result: FileResult | None) -> str | None:
    """What the progress bar names beside it: the file that was done last."""
    from xf2sdpa.files.plain import plain

    return plain(result.path.name) if result is not None else None


def _status(run: Run, options: dict[str, Any], *, written: bool) -> int:
    from xf2sdpa.codes import WISHES
    from xf2sdpa.model import SiteClass

    if run.failed or run.torch_too_old:
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
    from xf2sdpa.run.standard_input import is_unnamed_notebook, rewrite_bytes

    settings = _settings(Path(options["stdin_filename"]).absolute().parent, options)
    only_exact = options["only"] == "exact"
    if sys.stdin is None:
        give_up("there is no standard input to read")
    data = sys.stdin.buffer.read()
    if is_unnamed_notebook(data, options["stdin_filename"]):
        give_up("standard input looks like a notebook", "Say so: --stdin-filename NAME.ipynb.")
    result, output = rewrite_bytes(data, options["stdin_filename"], settings, only_exact=only_exact)
    run = Run([result] if result.sites or result.findings else [])
    written = not (options["check"] or options["diff"])
    if written and to_standard_output(options) == TEXT:
        sys.stdout.buffer.write(output)
    tell(run, None, options, written=written, errors=True)
    return _status(run, options, written=written)
