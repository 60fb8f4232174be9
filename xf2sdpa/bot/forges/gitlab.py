"""GitLab: merge requests of one project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from xf2sdpa.bot.forges.base import NewRequest, rows, understood, word
from xf2sdpa.bot.model import BotError, Repository, Request, State
from xf2sdpa.bot.web import Client

_DEVELOPER = 30
"""The access level from which on branches may be pushed."""
_DRAFT = "Draft: "
_STATES = {"opened": State.OPEN, "locked": State.OPEN, "merged": State.MERGED, "closed": State.CLOSED}


def headers(token: str) -> dict[str, str]:
    """What every request has; tokens of people, projects and OAuth are all taken so."""
    return {"Authorization": f"Bearer {token}"} if token else {}


@understood
class GitLab:
    """A project on GitLab."""

    limit = 200_000  # nobody reads more
    most = 1_000_000
    """GitLab takes 1,048,576 characters."""

    def __init__(self, client: Client, slug: str) -> None:
        self._client = client
        self._path = f"/projects/{quote(slug, safe='')}"

    def repository(self) -> Repository:
        """What the project is, and what the token may do with it."""
        told = self._client.get(self._path)
        rights = told.get("permissions")
        levels = [access["access_level"] for access in (rights or {}).values() if access]
        return Repository(
            default_branch=word(told, "default_branch"),
            can_push=max(levels, default=0) >= _DEVELOPER if levels else None,
            archived=bool(told.get("archived")),
            parent=word(told.get("forked_from_project") or {}, "path_with_namespace"),
        )

    def requests(self, branch: str) -> list[Request]:
        """All requests that were ever made from a branch of this project, the newest first."""
        told = self._client.get(f"{self._path}/merge_requests", source_branch=branch, state="all", per_page=100)
        return [
            _request(merge)
            for merge in rows(told)
            if merge["source_branch"] == branch and merge["source_project_id"] == merge["target_project_id"]
        ]

    def open(self, new: NewRequest) -> Request:
        """Open a request; not tried again where it may have been opened."""
        body = {
            "source_branch": new.branch,
            "target_branch": new.base,
            "title": f"{_DRAFT}{new.title}" if new.draft else new.title,
            "description": new.body,
            "remove_source_branch": True,
        }
        return _request(self._client.post(f"{self._path}/merge_requests", body))

    def rewrite_body(self, request: Request, body: str) -> None:
        """Give an open request another body."""
        self._change(request, {"description": body})

    def label(self, request: Request, labels: Sequence[str]) -> None:
        """Add labels; one that the project does not have is made."""
        self._change(request, {"add_labels": list(labels)})

    def ask_for_review(self, request: Request, people: Sequence[str]) -> None:
        """Ask people for a review: they go by their numbers."""
        numbers = []
        for name in people:
            told = rows(self._client.get("/users", username=name))
            if not told:
                raise BotError(f"there is no user {name}")
            numbers.append(told[0]["id"])
        self._change(request, {"reviewer_ids": numbers})

    def _change(self, request: Request, body: dict[str, Any]) -> None:
        self._client.change("PUT", f"{self._path}/merge_requests/{request.number}", body)


def _request(merge: dict[str, Any]) -> Request:
    state = _STATES.get(merge["state"], State.CLOSED)
    base, text = word(merge, "target_branch"), word(merge, "description")
    return Request(int(merge["iid"]), word(merge, "web_url"), state, base, text)
