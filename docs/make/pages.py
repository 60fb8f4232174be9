"""What the scripts beside this one share: where pages are, sections between markers, and one way to write or check."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PICTURES = DOCS / "pictures"
WIDTH = 120


def between(page: str, name: str, text: str) -> str:
    """A page with `text` between the markers `<!-- NAME: … -->` and `<!-- /NAME -->`, which stay.

    Raises:
        ValueError: the page has no such markers.
    """
    before, begin, rest = page.partition(f"<!-- {name}: ")
    comment, close, old = rest.partition(" -->\n")
    _, end, after = old.partition(f"<!-- /{name} -->")
    if not (begin and close and end):
        raise ValueError(f"there is no <!-- {name}: … --> with its <!-- /{name} -->")
    return f"{before}{begin}{comment}{close}\n{text.strip()}\n\n{end}{after}"


def wrapped(text: str, *, bullet: bool = False) -> str:
    """A paragraph, or an entry of a list, in lines of the width that the pages have."""
    first, others = ("* ", "  ") if bullet else ("", "")
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def stale(made: Mapping[Path, str]) -> list[Path]:
    """The files that do not hold what was made; an empty text stands for a file that shall not be there."""
    return [file for file, text in made.items() if (file.read_text("utf-8") if file.is_file() else "") != text]


def write(made: Mapping[Path, str]) -> None:
    """Write what was made, and delete what shall not be there."""
    for file in stale(made):
        if made[file]:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(made[file], "utf-8")
        else:
            file.unlink()


def run(make: Callable[[], Mapping[Path, str]], about: str | None) -> int:
    """The command line of such a script: it writes, or with `--check` only says what is stale, with status 1."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")
    options = parser.parse_args()
    made = make()
    changed = stale(made)
    for file in changed:
        print(file.relative_to(ROOT), file=sys.stderr)
    if not options.check:
        write(made)
    return int(options.check and bool(changed))
