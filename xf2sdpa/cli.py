"""The command line. Each command is imported when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from xf2sdpa import __version__
from xf2sdpa.console import INTERRUPTED, UNTOLD, give_up_over, interruptible, say
from xf2sdpa.files.plain import plain

_ROOMS = {
    "bench": "xf2sdpa.bench.command",
    "explain": "xf2sdpa.rewrite.explain",
    "pr": "xf2sdpa.bot.command",
    "rewrite": "xf2sdpa.run.command",
    "status": "xf2sdpa.run.status",
    "undo": "xf2sdpa.run.undo_command",
    "verify": "xf2sdpa.verify.command",
}
"""The commands: each lives with what it does, in the module named here, and is called `command` there."""


class _Commands(click.Group):
    """Commands that are imported only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in alphabetical order."""
        return sorted(_ROOMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """A command by name, imported now if it must be."""
        if cmd_name not in _ROOMS:
            return None
        command: click.Command = importlib.import_module(_ROOMS[cmd_name]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; one that is misspelt is told the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # noqa: PLC0415 - only for what is misspelt

            if os.path.exists(args[0]):  # noqa: PTH110 - no Path for this
                raise click.UsageError(f"{error.message} Did you mean 'xf2sdpa rewrite {args[0]}'?", ctx) from None
            if near := difflib.get_close_matches(args[0], _ROOMS, n=1):
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from None
            raise

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command line; whatever happens, it ends with a sentence and a status that means what it says."""
        if not standalone_mode:
            return self._run(args, extra)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # an encoding that lacks a character is no reason to stop
                stream.reconfigure(errors="backslashreplace")
        try:
            status = self._run(args, extra)
        except click.ClickException as error:
            _show(error)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        except OSError as error:
            if error.errno in UNTOLD:
                raise
            give_up_over(error)
        except Exception as error:
            give_up_over(error)
        sys.exit(status if isinstance(status, int) else 0)

    def _run(self, args: tuple[Any, ...], extra: dict[str, Any]) -> Any:
        run: Callable[..., Any] = super().main
        return run(*args, standalone_mode=False, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C ends it with the status that shells know, not with one that means something here."""
        ctx.color = _colour_wish()
        with interruptible() as asked:
            try:
                result = super().invoke(ctx)
                if not asked:  # else something has swallowed the exception
                    return result
            except KeyboardInterrupt:
                pass
        say("xf2sdpa: interrupted; no file is half written")
        return ctx.exit(INTERRUPTED)


def _show(error: click.ClickException) -> None:
    """Say what is wrong with the command line, which a file's name may be a part of."""
    shown = io.StringIO()
    error.show(shown)
    for line in shown.getvalue().splitlines():
        say(plain(line))


def _colour_wish() -> bool | None:
    """What https://no-color.org and https://force-color.org ask for; None for colours where a person watches."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="xf2sdpa")
def cli() -> None:
    """Rewrite xformers' memory_efficient_attention into torch's scaled_dot_product_attention."""
