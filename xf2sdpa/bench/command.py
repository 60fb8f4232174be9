"""The command `xf2sdpa bench`: options in, files and a table out, progress on standard error."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xf2sdpa.bench.model import PARTS
from xf2sdpa.folding import width_of

# torch is imported only to measure: a page can be made from a JSON document without it.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from xf2sdpa.bench.model import Result

_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


class Failure(click.ClickException):
    """An error for the user; exit status 2."""

    exit_code = 2


@click.command(short_help="Measure the claims of the performance guide on a GPU.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), help="Where to measure; cuda where there is a GPU.")
@click.option("--output-format", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write the JSON document there.")
@click.option("--html", "html_file", type=_FILE, metavar="FILE", help="Write one self-contained page there.")
@click.option("--markdown", "markdown_file", type=_FILE, metavar="FILE", help="Write Markdown there.")
@click.option(
    "--budget",
    type=click.FloatRange(min=1.0),
    metavar="SECONDS",
    help="Stop after this: 240 on a GPU, 90 on a CPU; with --quick 120 and 25.",
)
@click.option("--shapes", type=_EXISTING, metavar="FILE", help="A table of shapes to measure besides the guide's.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Measure only this part; may be repeated.")
@click.option("--quick", is_flag=True, help="The guide's shape, its modules, and three more shapes.")
@click.option(
    "--from", "source", type=_EXISTING, metavar="FILE", help="Measure nothing; read an earlier JSON document."
)
@click.option("--verbose", "-v", is_flag=True, help="On a CPU, list the claims that it cannot judge.")
def command(
    *,
    device: str | None,
    output_format: str,
    json_file: Path | None,
    html_file: Path | None,
    markdown_file: Path | None,
    budget: float | None,
    shapes: Path | None,
    only: tuple[str, ...],
    quick: bool,
    source: Path | None,
    verbose: bool,
) -> None:
    """Measure the performance guide's table and each of its claims on this machine.

    Attention by SDPA and each of its backends, xformers, Flash Attention 2, written out, and as the rewrite emits it;
    the guide's TransformerEncoder; next to what the guide says. What has no place in the time is named as left out.

    Exit status: 0 when measured, 2 if the command line or a file is wrong, or torch is missing.
    """
    measuring = {"--device": device, "--budget": budget, "--shapes": shapes, "--only": only, "--quick": quick}
    if source and (unheard := [option for option, value in measuring.items() if value]):
        raise click.UsageError(f"--from measures nothing: it does not go with {', '.join(unheard)}")
    result = _read(source) if source else _measure(device, budget, shapes, only, quick)
    from xf2sdpa.bench.report import json, markdown

    if json_file:
        _write(json_file, json.render(result))
    if markdown_file:
        _write(markdown_file, markdown.render(result))
    if html_file:
        from xf2sdpa.bench.report import html

        _write(html_file, html.render(result))
    if output_format == "json":
        click.echo(json.render(result), nl=False)
    elif output_format == "markdown":
        click.echo(markdown.render(result), nl=False)
    else:
        from xf2sdpa.bench.report import text

        for line in text.lines(result, verbose=verbose, width=width_of(sys.stdout)):
            click.echo(line)


def _read(source: Path) -> Result:
    from xf2sdpa.bench.report import json

    try:
        return json.parse(source.read_text("utf-8"))
    except (json.FormatError, OSError, UnicodeDecodeError) as error:
        raise Failure(f"{source}: {error}") from error


def _measure(
    device: str | None, budget: float | None, shapes: Path | None, only: tuple[str, ...], quick: bool
) -> Result:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else torch's profiler logs each start and stop
    try:
        import torch
    except ModuleNotFoundError as error:
        raise Failure(f"{error}; bench needs torch: pip install 'torch>=2.1' jinja2") from error
    from xf2sdpa.bench.run import BUDGETS, Plan, run
    from xf2sdpa.bench.workloads import ShapesError

    if device == "cuda" and not torch.cuda.is_available():
        raise Failure("there is no CUDA device; --device cpu measures small shapes")
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(where, budget or BUDGETS[where, quick], only or PARTS, shapes, quick)
    try:
        return run(plan, _spelled(device, budget, shapes, only, quick), _progress)
    except ShapesError as error:
        raise Failure(str(error)) from error


def _spelled(device: str | None, budget: float | None, shapes: Path | None, only: tuple[str, ...], quick: bool) -> str:
    """The command line that repeats the measurement, without the options for output."""
    words = ["xf2sdpa", "bench"]
    words += ["--device", device] if device else []
    words += ["--budget", f"{budget:g}"] if budget else []
    words += ["--shapes", str(shapes)] if shapes else []
    words += [word for part in only for word in ("--only", part)]
    words += ["--quick"] if quick else []
    return shlex.join(words)


def _progress(line: str) -> None:
    click.echo(f"bench: {line}", err=True)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}") from error
