"""GitHub, github.com and Enterprise alike, by its API of 2022-11-28."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xf2sdpa.bot.forges.base import NewRequest, rows, understood
from xf2sdpa.bot.forges.github_like import GitHubLike, request_of
from xf2sdpa.bot.model import Request
from xf2sdpa.bot.web import Client


def headers(token: str) -> dict[str, str]:
    """What every request has; without a token only what is public is seen."""
    known = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    return {**known, "Authorization": f"Bearer {token}"} if token else known


@understood
class GitHub(GitHubLike):
    """A repository on GitHub."""

    def __init__(self, client: Client, slug: str) -> None:
        super().__init__(client, slug)
        self._slug = slug

    def _can_push(self, rights: dict[str, Any] | None) -> bool | None:
        return True if rights and rights.get("push") else None  # of an app, GitHub always says that it may not

    def requests(self, branch: str) -> list[Request]:
        """All requests that were ever made from a branch of this repository, the newest first."""
        head = f"{self._slug.partition('/')[0]}:{branch}"
        told = self._client.get(f"{self._path}/pulls", head=head, state="all", per_page=100)
        return [_request(pull) for pull in rows(told) if self._is_from(pull["head"], branch, head)]

    def _is_from(self, head: dict[str, Any], branch: str, label: str) -> bool:
        """Whether a request comes from the branch: a filter that GitHub does not understand it ignores."""
        if head.get("repo"):
            return bool(head["ref"] == branch and head["repo"]["full_name"].lower() == self._slug.lower())
        return str(head.get("label", "")).lower() == label.lower()

    def open(self, new: NewRequest) -> Request:
        """Open a request; not tried again where it may have been opened."""
        body = {"title": new.title, "head": new.branch, "base": new.base, "body": new.body, "draft": new.draft}
        return _request(self._client.post(f"{self._path}/pulls", body))

    def label(self, request: Request, labels: Sequence[str]) -> None:
        """Add labels; one that the repository does not have is made."""
        self._client.post(f"{self._path}/issues/{request.number}/labels", {"labels": list(labels)}, again=True)


def _request(pull: dict[str, Any]) -> Request:
    return request_of(pull, merged=bool(pull.get("merged_at")))
