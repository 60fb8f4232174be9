"""What an instrumented module calls. Imports nothing, and torch only when the program has come to its first site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xf2sdpa.verify.shadow.failed import Failed


def probe(site: str, old: Callable[..., Any]) -> Callable[..., Any]:
    """The function that stands in the place of a call: returns what the old side returns."""
    from xf2sdpa.verify.shadow.sampling import at  # noqa: PLC0415

    return at(site, old)


def beside(thunk: Callable[[], Any]) -> Any:
    """A value that only the new side needs; an error in it is the new side's, not the program's."""
    try:
        return thunk()
    except Exception as error:
        return Failed(error)
