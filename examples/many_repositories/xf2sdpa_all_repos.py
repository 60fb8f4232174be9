"""One pull request in each of many repositories, with all-repos (https://github.com/asottile/all-repos).

    python -m all_repos.clone --config-filename all-repos.json
    python xf2sdpa_all_repos.py --config-filename all-repos.json --dry-run
    python xf2sdpa_all_repos.py --config-filename all-repos.json

all-repos lists, clones, shows the difference and asks (`--interactive`); what is then pushed and opened is a matter of
`xf2sdpa pr`, so every request has the text and the manners of a single one: it is opened once, brought up to date while
nobody else has worked on it, and not opened again once it was closed. This file is both: the autofixer, and the module
that `push` in all-repos.json names. `options` in `push_settings` are options of `xf2sdpa pr`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from all_repos import autofix_lib
from all_repos.config import Config
from all_repos.grep import repos_matching

from xf2sdpa.cli import cli


class Settings(NamedTuple):
    """`push_settings` of all-repos.json."""

    options: Sequence[str] = ()


def push(settings: Settings, branch_name: str) -> None:  # noqa: ARG001 - the branch of the request is its own
    """Open the request of the repository that all-repos stands in, or bring it up to date."""
    if _xf2sdpa("pr", *settings.options) != 0:
        raise RuntimeError("no request was opened or brought up to date; the reason stands above")


def find_repos(config: Config) -> set[str]:
    """The clones that may have something to do."""
    return repos_matching(config, ("-i", "xformer[s]", "--", "*.py", "*.pyi"))


def apply_fix() -> None:
    """Rewrite the clone: all-repos shows what changes, and goes on only where something does."""
    if _xf2sdpa("rewrite", ".") not in (0, 2):  # 2: a file could not be worked on, and the others are done
        raise RuntimeError("the rewrite failed; the reason stands above")


def _xf2sdpa(*words: str) -> int:
    """Run a command in this process: a new one for every repository would mostly be busy with its start."""
    print("$ xf2sdpa", shlex.join(words), flush=True)
    try:
        cli.main(list(words), standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run over all repositories of a configuration."""
    parser = argparse.ArgumentParser(description="Open a pull request in each repository that calls xFormers.")
    autofix_lib.add_fixer_args(parser)
    repos, config, commit, settings = autofix_lib.from_cli(
        parser.parse_args(argv), find_repos=find_repos, msg="Use torch's attention", branch_name="xf2sdpa"
    )
    autofix_lib.fix(repos, apply_fix=apply_fix, config=config, commit=commit, autofix_settings=settings)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
