"""Gitea and Forgejo, whose API for pull requests is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xf2sdpa.bot.forges.base import NewRequest, rows, understood
from xf2sdpa.bot.forges.github_like import GitHubLike, request_of
from xf2sdpa.bot.model import BotError, Request

_DRAFT = "WIP: "
"""A title that begins so makes a draft, unless the server is configured otherwise."""
_PAGE = 50
_PAGES = 200


def headers(token: str) -> dict[str, str]:
    """What every request has."""
    return {"Authorization": f"token {token}"} if token else {}


@understood
class Gitea(GitHubLike):
    """A repository on Gitea or Forgejo."""

    def requests(self, branch: str) -> list[Request]:
        """All requests that were ever made from a branch of this repository, the newest first.

        There is no filter for the branch, so all requests are gone through, a page at a time.
        """
        found: list[dict[str, Any]] = []
        for page in range(1, _PAGES + 1):
            told = rows(self._client.get(f"{self._path}/pulls", state="all", page=page, limit=_PAGE))
            if not told:
                return [_request(pull) for pull in sorted(found, key=lambda pull: -int(pull["number"]))]
            found += [pull for pull in told if _is_from(pull, branch)]
        raise BotError(f"the repository has more than {_PAGES * _PAGE} requests, too many to look through")

    def open(self, new: NewRequest) -> Request:
        """Open a request; not tried again where it may have been opened."""
        title = f"{_DRAFT}{new.title}" if new.draft else new.title
        body = {"title": title, "head": new.branch, "base": new.base, "body": new.body}
        return _request(self._client.post(f"{self._path}/pulls", body))

    def label(self, request: Request, labels: Sequence[str]) -> None:
        """Add labels that the repository has: they go by their numbers."""
        told = rows(self._client.get(f"{self._path}/labels", limit=_PAGE))
        numbers = {label["name"]: label["id"] for label in told}
        if missing := [name for name in labels if name not in numbers]:
            raise BotError(f"the repository has no label {', '.join(missing)}")
        path = f"{self._path}/issues/{request.number}/labels"
        self._client.post(path, {"labels": [numbers[name] for name in labels]}, again=True)


def _is_from(pull: dict[str, Any], branch: str) -> bool:
    """Whether a request comes from a branch of the same repository; its `ref` is another once the branch is gone."""
    head, base = pull["head"], pull["base"]
    return branch in (head.get("label"), head.get("ref")) and head.get("repo_id") in (base.get("repo_id"), -1)


def _request(pull: dict[str, Any]) -> Request:
    return request_of(pull, merged=bool(pull.get("merged")))
