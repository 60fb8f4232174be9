"""The command line. Each command is imported when it is called."""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

from xf2sdpa import __version__

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of the signal, as shells have it."""


_ROOMS = {
    "bench": "xf2sdpa.bench.command",
    "explain": "xf2sdpa.rewrite.explain",
    "rewrite": "xf2sdpa.run.command",
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C ends it with the status that shells know, not with one that means something here."""
        ctx.color = _colour_wish()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("xf2sdpa: interrupted; no file is half written", err=True)
            ctx.exit(INTERRUPTED)


def _colour_wish() -> bool | None:
    """What https://no-color.org and https://force-color.org ask for; None for colours where a person watches."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="xf2sdpa")
def cli() -> None:
    """Rewrite xformers' memory_efficient_attention into torch's scaled_dot_product_attention."""
