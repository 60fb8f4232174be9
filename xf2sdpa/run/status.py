"""The command `xf2sdpa status`: what still names xformers in the tree, and whether it can be uninstalled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from xf2sdpa.console import expect, give_up
from xf2sdpa.folding import show

# Imports where they are needed, as `--help` needs none:
# ruff: noqa: PLC0415

_STATUS = {True: 0, False: 1, None: 2}


@click.command("status", short_help="Say whether xformers can be uninstalled, and why not.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=str))
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes to use; as many as there are processors.")
@click.option("--verbose", "-v", is_flag=True, help="List every place, with what to do about it.")
def command(paths: tuple[str, ...], output_format: str, jobs: int | None, verbose: bool) -> None:
    """Say whether xformers can be uninstalled, and what still names it, in the trees that PATHS (here: .) belong to.

    Nothing is written. A file that `xf2sdpa rewrite` would change counts as one that needs xformers.

    Exit status: 0 xformers can be uninstalled, 1 it cannot, 2 that cannot be told.
    """
    from xf2sdpa.files.errors import DiscoverError
    from xf2sdpa.files.listing import list_files
    from xf2sdpa.files.notebook import PATTERN
    from xf2sdpa.files.pyproject import SettingsError
    from xf2sdpa.files.tree import from_here, roots_of, spelled
    from xf2sdpa.report import closing, json, shown
    from xf2sdpa.run.closing import close, no_files
    from xf2sdpa.run.configuration import load, overridden
    from xf2sdpa.run.options import RunOptions
    from xf2sdpa.run.refused import without_links_out
    from xf2sdpa.run.rewrite_files import rewrite_files

    expect(paths)
    given = [Path(path) for path in paths or (".",)]
    try:
        settings = overridden(load(given[0]), requirements="edit")
        roots = [spelled(root) for root in roots_of(given)]
        files = list_files(roots, include=(*settings.include, PATTERN), exclude=settings.all_exclude)
        files = from_here(files, roots)
    except (DiscoverError, SettingsError) as error:
        give_up(str(error))
    files, refused = without_links_out(files, roots)
    run = rewrite_files(files, settings, RunOptions(flags=None, jobs=jobs or os.cpu_count() or 1))
    run.results += refused
    close(run, files, roots, settings, done=False)
    if run.closing is None:
        give_up(*no_files(roots))
    if output_format == "json":
        click.echo(json.render(run, None, written=False).encode("utf-8"), nl=False)
    else:
        click.echo(f"{len(files)} file{'' if len(files) == 1 else 's'} scanned.")
        show(closing.status_lines(shown.shown(run), verbose=int(verbose)))
    sys.exit(_STATUS[run.closing.can_go])
