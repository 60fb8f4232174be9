"""The command `xf2sdpa verify`."""

from __future__ import annotations

import importlib.util
import io
import multiprocessing
import os
import shlex
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xf2sdpa.console import expect, give_up, say
from xf2sdpa.files.plain import plain
from xf2sdpa.folding import show

# Imports where they are needed: `--help` needs neither torch nor the analysis.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from xf2sdpa.settings import Settings
    from xf2sdpa.timing.model import Environment
    from xf2sdpa.verify.model import Report
    from xf2sdpa.verify.options import Options
    from xf2sdpa.verify.planning.old_text import OldTexts
    from xf2sdpa.verify.planning.plan import Plan

_INTERRUPTED = 130
"""The exit status, as in a shell, of a program that Ctrl-C ended."""
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class _Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes: `800M`, `2G`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        text = str(value).upper().removesuffix("IB").removesuffix("B")
        unit = text[-1:] if text[-1:] in _UNITS else ""
        try:
            return int(float(text.removesuffix(unit)) * _UNITS[unit])
        except ValueError:
            self.fail(f"{value!r} is no size such as 800M or 2G", param, ctx)


class _Verify(click.Command):
    """A command whose arguments after `--` are a program, not paths."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split the arguments at the first `--`; the program goes into `ctx.meta`."""
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["xf2sdpa.program"] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line, with the program."""
        return [*super().collect_usage_pieces(ctx), "[-- PROGRAM…]"]


@click.command(cls=_Verify, name="verify", short_help="Run old and new calls side by side, and compare.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=str))
@click.option("--samples", type=click.IntRange(min=0), help="Calls compared per site and shape (3); 0 for all of them.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of made-up inputs and of what the judge picks.")
@click.option(
    "--before", type=click.Path(dir_okay=False, path_type=Path), metavar="REPORT",
    help="The tree is rewritten: the JSON report of `xf2sdpa rewrite` that holds its old text.",
)  # fmt: skip
@click.option("--rev", help="The tree is rewritten: the revision of git that holds its old text (HEAD, if not given).")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where made-up inputs are run.")
@click.option("--min-speedup", type=float, metavar="RATIO", help="Exit 1 if a site's old time over new is below this.")
@click.option(
    "--baseline", type=click.Path(dir_okay=False, exists=True, path_type=Path), metavar="REPORT",
    help="The JSON report of an earlier verify run to compare with.",
)  # fmt: skip
@click.option("--output-format", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as a page, too.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write it as JSON, too.")
@click.option("--exact/--no-exact", default=True, help="Compare bit for bit too, with one kernel on both sides.")
@click.option("--no-timing", is_flag=True, help="Measure no times.")
@click.option(
    "--budget", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="For all sites without a program (600).",
)  # fmt: skip
@click.option("--max-memory", type=_Size(), help="What one comparison may take, such as 2G; else half of what is free.")
@click.option("--quiet", "-q", is_flag=True, help="Print sites that differ, and the outcome.")
@click.option("--verbose", "-v", is_flag=True, help="Print every case, timing and note.")
@click.pass_context
def command(ctx: click.Context, /, paths: tuple[str, ...], **given: Any) -> None:
    """Run the call sites in PATHS, old and new side by side, and compare.

    VERIFY RUNS YOUR CODE; `xf2sdpa rewrite` never does. Without a PROGRAM, each site's own expressions are run on
    made-up inputs. With one (`xf2sdpa verify src -- python train.py --steps 3`), the program is run as it is, with
    the old calls; beside each of them the new one is computed on copies. Nothing on disk changes, and it does not
    matter whether PATHS are rewritten already.

    Exit status: the program's own, if that is not 0; 1 if a site differs or is slower than asked; 2 if verify could
    not do its work; 3 if nothing was compared with the real xformers; 130 if it was interrupted; else 0.
    """
    try:
        status = _verify(ctx, paths, given)
    except KeyboardInterrupt:
        click.echo("xf2sdpa: interrupted", err=True)
        status = _INTERRUPTED
    sys.exit(status)


def _verify(ctx: click.Context, paths: tuple[str, ...], given: dict[str, Any]) -> int:
    """Run the command; return the exit status."""
    program: list[str] | None = ctx.meta.get("xf2sdpa.program")
    if program is not None and not program:
        give_up("no program behind --")
    expect(paths)
    if importlib.util.find_spec("torch") is None:
        give_up("verify needs torch, which is not installed here", "pip install 'torch>=2.1' jinja2")
    earlier = _checked(given)
    settings, listed = _project(paths)
    files, passed = _without_notebooks(listed)
    texts, plan = _planned(files, settings, given, with_program=program is not None)
    status, report = _run(texts, plan, program, given)
    report.notes += plan.notes
    plan.explain(report)
    report.notes += [f"notebooks are not run: {', '.join(passed)}"] if passed else []
    if texts.origin:
        report.notes.insert(0, f"the old text of rewritten files is from {texts.origin}")
        if status and program is not None:
            report.notes.insert(1, "line numbers in the program's tracebacks are those of the old text, which ran")
    if status and program is not None:
        report.notes.insert(0, f"the program ended with status {status}, and so does verify")
    written = _show(report, given, earlier, beside_program=program is not None)
    return status or (report.exit_status(given["min_speedup"]) if written else 2)


def _checked(given: dict[str, Any]) -> str | None:
    """Check early what would otherwise fail only at the end; return the text of the `--baseline` report, if any."""
    for option in ("json_file", "html"):
        file: Path | None = given[option]
        if file is None:
            continue
        if not file.parent.is_dir():
            give_up(f"{file}: cannot be written: there is no folder {file.parent}")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            give_up(f"{file}: cannot be written: no permission")
    if given["device"] == "cuda":
        import torch

        if not torch.cuda.is_available():
            give_up("there is no CUDA device", "--device cpu runs small shapes")
    source: Path | None = given["baseline"]
    if source is None:
        return None
    from xf2sdpa.verify.report import json

    try:
        earlier = source.read_text("utf-8")
        json.load(earlier)
    except (OSError, ValueError) as error:
        give_up(f"{source}: {error}")
    return earlier


def _project(paths: tuple[str, ...]) -> tuple[Settings, list[str]]:
    from xf2sdpa.files.errors import DiscoverError
    from xf2sdpa.files.listing import list_files
    from xf2sdpa.files.pyproject import SettingsError
    from xf2sdpa.run.configuration import load

    try:
        settings = load(Path(paths[0]))
        base = settings.file.parent if settings.file else None
        return settings, list_files(paths, include=settings.include, exclude=settings.all_exclude, base=base)
    except (SettingsError, DiscoverError) as error:
        give_up(str(error))


def _without_notebooks(listed: list[str]) -> tuple[list[str], list[str]]:
    """The files to verify, and the notebooks among those listed that name xformers: they are passed over."""
    from xf2sdpa.files.notebook import is_notebook
    from xf2sdpa.files.search import Searcher

    notebooks = [str(path) for path in Searcher(file for file in listed if is_notebook(file)).first()]
    files = [file for file in listed if not is_notebook(file)]
    if notebooks and not files:
        way_out = "`jupyter nbconvert --to script` makes a program of one, which verify can run."
        give_up(f"notebooks are not run: {', '.join(notebooks)}", way_out)
    return files, notebooks


def _planned(
    files: list[str], settings: Settings, given: dict[str, Any], *, with_program: bool
) -> tuple[OldTexts, Plan]:
    from xf2sdpa.verify.planning.old_text import WAYS_OUT, OldTextError, collect
    from xf2sdpa.verify.planning.sites import plan

    try:
        texts = collect(files, given["before"], given["rev"], settings)
    except OldTextError as error:
        give_up(str(error), error.advice)
    found = plan(texts, settings, with_program=with_program)
    if not found.sites:
        give_up(
            "there is no call of xformers' attention in these files that the rewrite would change",
            f"Guards, imports and another library's switch have nothing to run side by side. {WAYS_OUT}",
        )
    return texts, found


def _run(texts: OldTexts, plan: Plan, program: list[str] | None, given: dict[str, Any]) -> tuple[int, Report]:
    """Run the program, or the sites on made-up inputs; return the program's exit status and the report."""
    from xf2sdpa.verify.options import SAMPLES, Options

    options = Options(
        samples=SAMPLES if given["samples"] is None else given["samples"],
        seed=given["seed"],
        device=given["device"],
        exact=given["exact"],
        timing=not given["no_timing"],
        max_memory=given["max_memory"],
    )
    line = shlex.join(["xf2sdpa", *sys.argv[1:]])
    if program is None:
        return _without_program(plan, options, line, given)
    return _with_program(texts, plan, program, options, line)


def _without_program(plan: Plan, options: Options, line: str, given: dict[str, Any]) -> tuple[int, Report]:
    from xf2sdpa.verify.run import BUDGET, Interrupted, run

    log = io.StringIO() if given["quiet"] else sys.stderr
    try:
        return 0, run(plan, options, command=line, budget=given["budget"] or BUDGET, log=log)
    except Interrupted as stopped:
        return _INTERRUPTED, stopped.report


def _with_program(texts: OldTexts, plan: Plan, program: list[str], options: Options, line: str) -> tuple[int, Report]:
    from xf2sdpa.verify.shadow import launch
    from xf2sdpa.verify.shadow.merge import merge

    environment = _environment_by_child(line, options)
    reference = environment.old_path.removeprefix("reference: ") if environment.is_reference else ""
    with tempfile.TemporaryDirectory(prefix="xf2sdpa-verify-") as folder:
        given = launch.handover(plan, texts, options, reference)
        try:
            status = launch.run(program, given, Path(folder))
        except launch.LaunchError as error:
            give_up(str(error))
        return status, merge(plan, Path(folder), environment)


def _environment_by_child(line: str, options: Options) -> Environment:
    """The environment, found out in a child process so that this one holds no memory of the GPU the program needs."""
    import torch

    if not torch.cuda.is_available():
        return _environment(line, options)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_environment, line, options).result()


def _environment(line: str, options: Options) -> Environment:
    from xf2sdpa.judging.old_path import find_old_path
    from xf2sdpa.timing import environment

    return environment(line, options.seed, find_old_path(), options.device)


def _show(report: Report, given: dict[str, Any], earlier: str | None, *, beside_program: bool) -> bool:
    """Print the report, and write the files asked for; return False if one could not be written.

    After a program, which has the standard output, the text goes to standard error.
    """
    from xf2sdpa.verify.report import baseline, json, markdown, text

    comparison = baseline.compare(report, earlier) if earlier is not None else None
    shared = {"min_speedup": given["min_speedup"], "comparison": comparison}
    if given["output_format"] == "json":
        click.echo(json.render(report).encode("utf-8"), nl=False)
    elif given["output_format"] == "markdown":
        click.echo(markdown.render(report, **shared), nl=False)
    else:
        verbose = -1 if given["quiet"] else int(given["verbose"])
        show(text.lines(report, verbose=verbose, **shared), errors=beside_program)
    written = True
    if given["json_file"] is not None:
        written = _write(given["json_file"], json.render(report))
    if given["html"] is not None:
        from xf2sdpa.verify.report import html

        written = _write(given["html"], html.render(report, **shared)) and written
    return written


def _write(file: Path, text: str) -> bool:
    """Write a file; on failure, print why and return False."""
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        say(plain(f"xf2sdpa: {file}: cannot be written: {error.strerror or error}"))
        return False
    return True
