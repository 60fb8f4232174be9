"""The picture of a terminal in README, made from a real run over a copy of examples/families.

python docs/make/terminal.py            # writes docs/pictures/terminal.svg
python docs/make/terminal.py --check    # exit 1 if the command prints something else by now
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import PICTURES, ROOT, run

COMMAND = ("rewrite", "--check", ".")
COLUMNS = 112
SIZE, STEP, LINE, EDGE, HEAD = 13, 7.83, 19, 16, 30
"""Of the letters, in pixels: their size, width and distance, the margin, and the bar on top."""
GROUND, INK = "#14171b", "#d6dade"
COLOURS = {
    30: "#565f69",
    31: "#ff7b72",
    32: "#7ee2a0",
    33: "#f0c05a",
    34: "#7fb8f0",
    35: "#d2a8ff",
    36: "#6fd7dc",
    37: "#e8eaed",
    90: "#9aa4af",
}
NO_BREAK = "\u00a0"
"""A blank that no viewer of SVG folds."""
SGR = re.compile(r"\x1b\[([\d;]*)m")


def printed() -> str:
    """What the command prints on a terminal with colours."""
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(ROOT / "examples/families", Path(place) / "families")
        around = {
            **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")},
            "TERM": "xterm-256color",
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": place,
        }
        return on_a_terminal([sys.executable, "-m", "xf2sdpa", *COMMAND], folder, around)


def on_a_terminal(command: list[str], folder: Path, around: dict[str, str]) -> str:
    """What a command prints where its standard output is a terminal of `COLUMNS` columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    with subprocess.Popen(command, cwd=folder, env=around, stdout=theirs, stderr=subprocess.DEVNULL):
        os.close(theirs)
        seen = bytearray()
        with contextlib.suppress(OSError):  # how Linux says that nobody writes any more
            while data := os.read(ours, 1 << 16):
                seen += data
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def lines(text: str) -> Iterator[list[tuple[str, str]]]:
    """The lines of a terminal of `COLUMNS` columns, each as pieces of text with the style that they have."""
    style = ""
    for line in text.rstrip("\n").split("\n"):
        row: list[tuple[str, str]] = []
        room = COLUMNS
        place = 0
        for found in [*SGR.finditer(line), None]:
            piece = line[place : found.start() if found else len(line)]
            while len(piece) > room:
                row.append((piece[:room], style))
                yield row
                row, piece, room = [], piece[room:], COLUMNS
            if piece:
                row.append((piece, style))
                room -= len(piece)
            if found:
                style, place = styled(style, found[1]), found.end()
        yield row


def styled(style: str, codes: str) -> str:
    """The attributes of SVG after an escape sequence for colours."""
    for code in map(int, filter(None, codes.split(";") or ["0"])):
        if code == 0:
            style = ""
        elif code == 1:
            style += ' font-weight="700"'
        elif code == 2:
            style += f' fill="{COLOURS[90]}"'
        elif code in COLOURS:
            style = re.sub(r' fill="[^"]*"', "", style) + f' fill="{COLOURS[code]}"'
    return style if codes else ""


def svg(text: str) -> str:
    """The terminal as a picture."""
    shown = [[("$ xf2sdpa " + " ".join(COMMAND), ' font-weight="700"')], *lines(text)]
    width, height = round(COLUMNS * STEP + 2 * EDGE), HEAD + len(shown) * LINE + EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="What xf2sdpa prints">',
        f'<rect width="{width}" height="{height}" rx="8" fill="{GROUND}"/>',
        *(f'<circle cx="{x}" cy="15" r="5" fill="{COLOURS[30]}"/>' for x in (20, 38, 56)),
        f'<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="{SIZE}" '
        f'fill="{INK}">',
    ]
    for number, row in enumerate(shown):
        pieces = "".join(f"<tspan{style}>{escape(piece).replace(' ', NO_BREAK)}</tspan>" for piece, style in row)
        length = sum(len(piece) for piece, _ in row) * STEP
        fitted = f' textLength="{length:.0f}" lengthAdjust="spacingAndGlyphs"' if length else ""
        parts.append(f'<text x="{EDGE}" y="{HEAD + (number + 1) * LINE - 5}"{fitted}>{pieces}</text>')
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def made() -> dict[Path, str]:
    """The picture's file with its text."""
    return {PICTURES / "terminal.svg": svg(printed())}


if __name__ == "__main__":
    sys.exit(run(made, __doc__))
