"""How a command ends that cannot go on: one sentence on standard error, and exit status 2."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click


def give_up(message: str, advice: str = "") -> NoReturn:
    """Say why the command cannot go on, and what would help; ends it with status 2."""
    click.echo(f"xf2sdpa: {message}" + (f"\n    help: {advice}" if advice else ""), err=True)
    sys.exit(2)


def silence() -> None:
    """Send what is still to be printed nowhere, so that the interpreter does not stumble over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
