"""What the bot asks of every forge."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from xf2sdpa.bot.model import BotError, Repository, Request

_Kind = TypeVar("_Kind", bound=type)


@dataclass(frozen=True)
class NewRequest:
    """A request that is to be opened, from a branch of the repository to another one of it."""

    branch: str
    base: str
    title: str
    body: str
    draft: bool


class Forge(Protocol):
    """A forge, with one repository on it.

    Every method raises `ForgeError` where the forge refuses or does not answer.
    """

    limit: int
    """The most characters that a text of ours may have."""
    most: int
    """The most characters that a request's body may have, with what people wrote into it."""

    def repository(self) -> Repository:
        """What the repository is, and what the token may do with it."""

    def requests(self, branch: str) -> list[Request]:
        """All requests that were ever made from a branch of this repository, the newest first."""

    def open(self, new: NewRequest) -> Request:
        """Open a request; not tried again where it may have been opened."""

    def rewrite_body(self, request: Request, body: str) -> None:
        """Give an open request another body."""

    def label(self, request: Request, labels: Sequence[str]) -> None:
        """Add labels to a request."""

    def ask_for_review(self, request: Request, people: Sequence[str]) -> None:
        """Ask people, or teams as `org/team`, for a review."""


def told_apart(people: Sequence[str]) -> tuple[list[str], list[str]]:
    """People, and the names of teams that were given as `org/team`."""
    return [name for name in people if "/" not in name], [name.partition("/")[2] for name in people if "/" in name]


def understood(kind: _Kind) -> _Kind:
    """A forge whose answers may be of another form than its description has it: that is told, and no fault of ours."""
    for name in ("repository", "requests", "open", "rewrite_body", "label", "ask_for_review"):
        setattr(kind, name, _understood(getattr(kind, name)))
    return kind


def _understood(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asked(*given: Any) -> Any:
        try:
            return method(*given)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError):
            raise BotError(
                "the forge's answer is not of the form that its description has",
                "Is --api the address of the API, and --forge what runs there?",
            ) from None

    return asked


def word(told: Any, key: str) -> str:
    """What an answer says at a key, which must be text; empty where there is nothing."""
    value = told.get(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(key)
    return value or ""


def rows(told: Any) -> list[Any]:
    """The items of an answer that is a list."""
    if told is not None and not isinstance(told, list):
        raise TypeError
    return told or []
