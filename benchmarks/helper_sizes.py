"""How large the helper modules are that a corpus gets: lines of code, without blanks, comments and docstrings.

    python benchmarks/helper_sizes.py CORPUS [--limit 220] [--written] [--json FILE]

CORPUS is a folder of repositories, which are only read. Prints a line for each that gets helpers, the mean over them,
and how many repositories need none; exits with 1 if the mean is above the limit. With `--written` CORPUS holds
repositories that were rewritten before, by whatever version, and what lies there is counted. `--json` stores the sizes,
by repository.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import statistics
import sys
import tokenize
from pathlib import Path

from xf2sdpa import __version__
from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.listing import list_files
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.settings import Settings

MODULE = "_attention_compat.py"

_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def lines_of_code(text: str) -> int:
    """The lines of a module that hold code: no blank ones, comments or docstrings.

    >>> lines_of_code('def f():\\n    \"\"\"Nothing.\"\"\"\\n\\n    return 1  # one\\n')
    2
    """
    said: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        for part in getattr(node, "body", None) or [] if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            if (
                isinstance(part, ast.Expr)
                and isinstance(part.value, ast.Constant)
                and isinstance(part.value.value, str)
            ):
                said.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    held = {line for t in tokens if t.type not in _NO_CODE for line in range(t.start[0], t.end[0] + 1)}
    return len(held - said)


def sizes(folder: Path) -> list[int] | None:
    """The sizes of the helpers that one repository gets; None if nothing of it is rewritten."""
    files = list_files([folder])
    run = rewrite_files(files, Settings(), RunOptions(jobs=1, flags=None))
    if not any(result.changed for result in run.results):
        return None
    return sorted(lines_of_code(copy.text) for copy in run.copies if copy.text)


def sizes_written(folder: Path) -> list[int]:
    """The sizes of the helpers that lie in a repository."""
    return sorted(lines_of_code(path.read_text("utf-8")) for path in folder.rglob(MODULE))


def main() -> int:
    """Print the sizes; 1 if they are too large on average."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=float, default=220)
    parser.add_argument("--written", action="store_true", help="count the helpers that lie there, and rewrite nothing")
    parser.add_argument("--json", type=Path, help="write the sizes into this file")
    options = parser.parse_args()
    found: dict[str, list[int]] = {}
    for folder in sorted(path for path in options.corpus.iterdir() if path.is_dir()):
        try:
            lines = sizes_written(folder) if options.written else sizes(folder)
        except DiscoverError as error:
            print(f"{folder.name}: {error}", file=sys.stderr)
            continue
        if lines:
            print(f"{folder.name:50} {' '.join(map(str, lines))}", flush=True)
        if lines is not None:
            found[folder.name.replace("+", "/", 1)] = lines
    every = [size for lines in found.values() for size in lines]
    mean = statistics.mean(every) if every else 0.0
    without = (
        "" if options.written else f"; {sum(not lines for lines in found.values())} rewritten repositories need none"
    )
    print(f"{len(every)} helpers, {mean:.0f} lines of code on average{without}")
    if options.json:
        options.json.write_text(json.dumps({"xf2sdpa": __version__, "sizes": found}, indent=1) + "\n", "utf-8")
    return int(mean > options.limit)


if __name__ == "__main__":
    sys.exit(main())
