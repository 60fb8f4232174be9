"""`xf2sdpa` and `python -m xf2sdpa`.

Most runs, above all those of a pre-commit hook, meet no file that names xformers. They are answered here, before
click and the analysis are imported, which takes ten times as long as the answer.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself would cost the time of a search
import gc
import os
import sys

_HARMLESS = frozenset(
    [
        *("--check", "--no-helper", "--no-new-files", "--no-journal", "--strict", "--quiet", "-q", "--flags=keep"),
        "--requirements=keep",
    ]
)
"""Options that change nothing, save what is printed, where no file matches."""


_HELPER = b"_attention_compat"
"""The helper module: whether it stands where a file imports it must be seen."""
_PACKAGE = b"xf2sdpa.compat"
"""The helper of the installed package: what it answers may be inline by now."""
_CALL = b"memory_efficient_attention"
"""The operator, which a file may take from another one without a word of xformers."""


def main() -> None:
    """Run the command line."""
    before = _signal.getsignal(_signal.SIGINT)
    if before is _signal.default_int_handler:
        # Up to here nothing is written, and an exception might come in the middle of an import that swallows it.
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
    try:
        if _nothing_to_do(sys.argv[1:]):
            return
        from xf2sdpa.cli import cli  # noqa: PLC0415 - click, and only when something is run
        from xf2sdpa.collector import collect_seldom  # noqa: PLC0415 - likewise

        if sys.argv[1:2] in (["rewrite"], ["status"]):  # not where programs run, whose cycles may hold large tensors
            collect_seldom()
        cli(prog_name="xf2sdpa")
    except Exception as error:
        from xf2sdpa.console import UNTOLD, give_up_over, say, silence  # noqa: PLC0415 - likewise

        if not isinstance(error, OSError) or error.errno not in UNTOLD:
            give_up_over(error)
        silence()
        say(f"xf2sdpa: the output cannot be written: {error.strerror}")
        sys.exit(2)
    finally:
        # Python looks for cycles in all that is left before it ends: half as long as a run over many files.
        gc.freeze()


def _nothing_to_do(arguments: list[str]) -> bool:
    """Whether this is a plain `rewrite`, none of whose files names xformers; then says so, as `cli` would.

    Whatever is out of the ordinary (a table of ours in pyproject.toml, a path that is none, a file that cannot be
    read) is left to `cli`. Blocks of flags are not looked for: without an option they are what they should be.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = {argument for argument in arguments[:end] if argument.startswith("-")}
    paths = [argument for argument in arguments[1:end] if not argument.startswith("-")] + arguments[end + 1 :]
    if arguments[:1] != ["rewrite"] or not paths or not options <= _HARMLESS or _is_configured(paths[0]):
        return False
    from xf2sdpa.files.errors import DiscoverError  # noqa: PLC0415 - nor for --help
    from xf2sdpa.files.listing import list_files  # noqa: PLC0415 - nor for --help
    from xf2sdpa.files.patterns import INCLUDE  # noqa: PLC0415 - nor for --help
    from xf2sdpa.files.search import Searcher  # noqa: PLC0415 - nor for --help
    from xf2sdpa.files.state import may_be_broken_off  # noqa: PLC0415 - nor for --help

    # A hook hands over files and asks nothing of the tree around them; else the whole tree is searched.
    whole = "--requirements=keep" not in options or any(map(os.path.isdir, paths))
    roots, files = [], []
    try:
        if whole:
            from xf2sdpa.files.tree import files_of, roots_of  # noqa: PLC0415 - nor for a hook

            roots = roots_of(paths)
            files = files_of(roots)
        if roots == [os.path.realpath(path) for path in paths]:
            count = sum(file.endswith((".py", ".pyi", ".ipynb")) for file in files)
        else:
            chosen = list_files(paths, include=(*INCLUDE, "*.ipynb"))
            count, files = len(chosen), [*files, *chosen]
        searcher = Searcher(files)
    except DiscoverError:
        return False
    if searcher.first(_HELPER, _PACKAGE, _CALL) or searcher.unreadable:
        return False
    if options.isdisjoint({"--check", "--no-journal"}) and may_be_broken_off() and _was_broken_off_here(paths):
        return False
    if whole and not count:  # an empty folder, most likely the wrong one
        return False
    if options.isdisjoint({"--quiet", "-q"}):
        scanned = f"{count} file{'' if count == 1 else 's'} scanned."
        print(f"No call of xformers' attention found.\n{scanned}", flush=True)
        if whole:
            print("xformers can be uninstalled: yes", flush=True)
    return True


def _was_broken_off_here(paths: list[str]) -> bool:
    """Whether a run over this project was killed, and nobody was told; those of other projects are no matter here."""
    from xf2sdpa.files.journal import broken_off, journal_root  # noqa: PLC0415 - only after a killed run

    return bool(broken_off(journal_root(paths)))


def _is_configured(start: str) -> bool:
    """Whether the nearest pyproject.toml may hold a table of ours; as `settings.load`, but without its imports."""
    place = os.path.realpath(start)
    while True:
        file = os.path.join(place, "pyproject.toml")  # noqa: PTH118 - pathlib is half the time of such a run
        if os.path.isfile(file):  # noqa: PTH113
            break
        place, below = os.path.dirname(place), place  # noqa: PTH120
        if place == below:
            return False
    try:
        with open(file, "rb") as stream:  # noqa: PTH123
            return b"xf2sdpa" in stream.read()
    except OSError:
        return True


if __name__ == "__main__":
    main()
