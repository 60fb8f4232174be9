"""Records that pass between the modules of the bot."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

BRANCH = "xf2sdpa/torch-sdpa"
TITLE = "Use torch's scaled_dot_product_attention instead of xformers"


class BotError(Exception):
    """Why no request can be opened or updated; nothing half done is left behind.

    Attributes:
        message: what is wrong, with no secret in it.
        advice: what would help.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


@dataclass(frozen=True)
class Identity:
    """Who a commit is by."""

    name: str
    email: str


@dataclass(frozen=True)
class Signing:
    """How commits are signed: git's `gpg.format`, the key, and a program of the user's own choice."""

    kind: str
    key: str
    program: str = ""


@dataclass(frozen=True)
class RequestOptions:
    """How a request is to be made.

    Attributes:
        base: the branch that it goes to; empty for the repository's default branch.
        branch: its own branch.
        title: its title, and the first line of its commit.
        draft, labels, reviewers: set when it is opened, and left to people afterwards.
        identity, signing, signoff: of the commit.
        allow_fork: whether a fork may get a request of its own.
        dry_run: only tell what would be done.
        verified: makes Markdown, of a length, of a report of `xf2sdpa verify`; None if there is none.
        arguments: what follows `--`: options and paths of `xf2sdpa rewrite`.
    """

    base: str = ""
    branch: str = BRANCH
    title: str = TITLE
    draft: bool = False
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    identity: Identity | None = None
    signing: Signing | None = None
    signoff: bool = False
    allow_fork: bool = False
    dry_run: bool = False
    verified: Callable[[int], str] | None = None
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repository:
    """What a forge says of a repository.

    Attributes:
        default_branch: where requests go.
        can_push: whether the token may push; None where the forge does not say.
        archived: whether it is read only.
        parent: what it is a fork of; empty if it is none.
    """

    default_branch: str
    can_push: bool | None
    archived: bool
    parent: str


class State(str, enum.Enum):
    """What became of a request."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


@dataclass(frozen=True)
class Request:
    """A pull request, or merge request, as the forge has it."""

    number: int
    url: str
    state: State
    base: str
    body: str


class Operation(str, enum.Enum):
    """What a run of the bot did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    """The request is open, and says all that is to be said."""
    NOTHING = "nothing to do"
    DECLINED = "declined"
    """A person has closed the request."""
    LEFT_ALONE = "left alone"
    """A person has worked on the branch."""
    PLANNED = "planned"
    """Only told, as by --dry-run."""


@dataclass
class Outcome:
    """What a run of the bot did, and with what.

    Attributes:
        operation: in a word.
        reason: in a sentence.
        branch, base: of the request.
        commit: the tip of its branch; empty where there is none.
        request: None where none is open.
        warnings: what did not work and is not needed: labels, reviewers.
        plan: what --dry-run shows.
    """

    operation: Operation
    reason: str
    branch: str
    base: str
    commit: str = ""
    request: Request | None = None
    warnings: list[str] = field(default_factory=list)
    plan: str = ""
