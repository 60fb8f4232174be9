"""The command `xf2sdpa bench`."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Measure the performance guide's claims on this machine."""
    raise click.ClickException("not built yet")
