"""What the bot asks of every forge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from xf2sdpa.bot.model import Repository, Request


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
    """The most characters that a request's body may have."""

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
