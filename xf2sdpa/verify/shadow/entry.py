"""The functions that instrumented modules call. torch is imported only when the program reaches its first site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xf2sdpa.verify.shadow.failed import Failed


def probe(site: str, old: Callable[..., Any]) -> Callable[..., Any]:
    """The function that replaces a call; it returns what the old side returns."""
    from xf2sdpa.verify.shadow.sampling import at  # noqa: PLC0415

    return at(site, old)


def beside(thunk: Callable[[], Any]) -> Any:
    """A value that only the new side needs; an error in it becomes a `Failed` and does not reach the program."""
    try:
        return thunk()
    except Exception as error:
        return Failed(error)
