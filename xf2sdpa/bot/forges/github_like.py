"""What GitHub's API and Gitea's, which was made after it, have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from xf2sdpa.bot.forges.base import told_apart, word
from xf2sdpa.bot.model import Repository, Request, State
from xf2sdpa.bot.web import Client


class GitHubLike:
    """A repository below `/repos/`, whose requests are pulls."""

    limit = 60_000
    most = 65_000
    """GitHub takes 65,536 characters, which it counts in a way of its own."""

    def __init__(self, client: Client, slug: str) -> None:
        self._client = client
        self._path = f"/repos/{quote(slug)}"

    def repository(self) -> Repository:
        """What the repository is, and what the token may do with it."""
        told = self._client.get(self._path)
        parent = word(told.get("parent") or {}, "full_name") or "another repository"
        return Repository(
            default_branch=word(told, "default_branch"),
            can_push=self._can_push(told.get("permissions")),
            archived=bool(told.get("archived")),
            parent=parent if told.get("fork") else "",
        )

    def _can_push(self, rights: dict[str, Any] | None) -> bool | None:
        """Whether the token may push; None where that is not told."""
        return rights.get("push") if rights else None

    def rewrite_body(self, request: Request, body: str) -> None:
        """Give an open request another body."""
        self._client.change("PATCH", f"{self._path}/pulls/{request.number}", {"body": body})

    def ask_for_review(self, request: Request, people: Sequence[str]) -> None:
        """Ask people, or teams as `org/team`, for a review."""
        persons, teams = told_apart(people)
        asked = {"reviewers": persons, "team_reviewers": teams}
        path = f"{self._path}/pulls/{request.number}/requested_reviewers"
        self._client.post(path, {key: names for key, names in asked.items() if names}, again=True)


def request_of(pull: dict[str, Any], *, merged: bool) -> Request:
    """A pull as a request."""
    state = State.OPEN if pull["state"] == "open" else State.MERGED if merged else State.CLOSED
    return Request(int(pull["number"]), word(pull, "html_url"), state, word(pull["base"], "ref"), word(pull, "body"))
