"""The command `xf2sdpa explain`: the page of a code, or a list of all codes."""

from __future__ import annotations

import sys

import click

from xf2sdpa.console import give_up
from xf2sdpa.folding import WIDEST, width_of
from xf2sdpa.rewrite import pages


@click.command("explain", short_help="Print the page of a code, of a class, or of the flags.")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Print the page of a CODE, of a class (exact, assumed, compat, removed, left), of FLAGS or of one flag.

    A beginning (XF1) lists the codes that have it; without a word, all are listed.

    XF1 is what was done, XF2 why a call cannot be inline, XF3 assumptions, XF4 what is left, XF5 flags, XF9 the run.
    """
    width = width_of(sys.stdout) or WIDEST
    page = pages.listed(pages.all_codes(), width) if code is None else pages.explain(code, width)
    if page is None:
        near = pages.nearest(str(code))
        meant = f"; did you mean {near}?" if near else ""
        give_up(
            f"there is no page about {code}{meant}",
            "`xf2sdpa explain` lists all codes; `classes` and `flags` are pages as well.",
        )
    click.echo(page, nl=False)
