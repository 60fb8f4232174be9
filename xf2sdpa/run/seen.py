"""What `xf2sdpa verify --json` recorded while a program ran, as evidence for a rewrite."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xf2sdpa.model import Seen

_SHAPE = re.compile(r"\b[qkv] (\d+(?:×\d+)*)")
"""One of `q 2×257×8×40, k 2×77×8×40`."""


def read_seen(files: Iterable[Path]) -> dict[Path, dict[str, Seen]]:
    """What was seen, by file and call; only calls that a program made count, not inputs that verify made up.

    Raises:
        ValueError: a file is no report of verify, or one of a release that recorded no functions.
    """
    found: dict[Path, dict[str, Seen]] = {}
    for file in files:
        try:
            sites = json.loads(file.read_text(encoding="utf-8"))["sites"]
            for site in sites:
                if site["calls"] and site["cases"]:
                    _add(found, site)
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} is no report of `xf2sdpa verify --json` that this release reads") from error
    return found


def _add(found: dict[Path, dict[str, Seen]], site: Mapping[str, Any]) -> None:
    call = site["id"].rpartition("::")[2]
    lengths = {size.count("×") + 1 for case in site["cases"] for size in _SHAPE.findall(case["shape"])}
    new = Seen(site["function"], lengths.pop() if len(lengths) == 1 else None, any(_masked(c) for c in site["cases"]))
    calls = found.setdefault(Path(site["path"]).resolve(), {})
    old = calls.setdefault(call, new)
    if old != new:  # two runs: what both saw
        same = old.function == new.function
        rank = old.rank if old.rank == new.rank else None
        calls[call] = Seen(new.function if same else "", rank, old.masked or new.masked)


def _masked(case: Mapping[str, Any]) -> bool:
    return bool(case["mask"] != "none")
