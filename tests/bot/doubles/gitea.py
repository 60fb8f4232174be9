"""A double of Gitea, and so Forgejo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bot.doubles.common import (
    Answer,
    Refused,
    ask_reviewers,
    edited,
    new_pull,
    pull_at,
    query_of,
    repo_at,
    repository_as_json,
)
from tests.bot.repositories import Pull, Repo

if TYPE_CHECKING:
    from tests.bot.host import Host


def _pull(host: Host, repo: Repo, pull: Pull) -> dict[str, Any]:
    is_there = bool(repo.tip(pull.head))
    return {
        "number": pull.number,
        "html_url": f"{host.base}/{repo.slug}/pulls/{pull.number}",
        "state": "open" if pull.state == "open" else "closed",
        "merged": pull.state == "merged",
        "title": pull.title,
        "body": pull.body,
        "draft": pull.draft,
        "head": {"label": pull.head, "ref": pull.head if is_there else f"refs/pull/{pull.number}/head", "repo_id": 5},
        "base": {"label": pull.base, "ref": pull.base, "repo_id": 5},
    }


def _list(host: Host, target: str, _: Any) -> tuple[int, Any]:
    repo, query = repo_at(host, target), query_of(target)
    size = min(int(query["limit"]), 2)  # a server may give less than it is asked for
    first = (int(query["page"]) - 1) * size
    return 200, [_pull(host, repo, pull) for pull in repo.pulls[first : first + size]]


def _create(host: Host, target: str, body: Any) -> tuple[int, Any]:
    repo = repo_at(host, target)
    taken = Refused(409, {"message": "pull request already exists for these targets"})
    draft = body["title"].startswith("WIP:")
    made = new_pull(repo, body["head"], body["base"], body["title"], body.get("body", ""), draft=draft, taken=taken)
    return 201, _pull(host, repo, made)


def _label(host: Host, target: str, body: Any) -> tuple[int, Any]:
    names = {number: name for name, number in repo_at(host, target).labels.items()}
    pull_at(host, target).labels += [names[number] for number in body["labels"]]
    return 200, [{"id": number, "name": names[number]} for number in body["labels"]]


def _review(host: Host, target: str, body: Any) -> tuple[int, Any]:
    ask_reviewers(host, target, body)
    return 201, [{}]


ANSWERS: dict[str, Answer] = {
    "repoGet": lambda host, target, _: (200, repository_as_json(repo_at(host, target))),
    "repoListPullRequests": _list,
    "repoCreatePullRequest": _create,
    "repoEditPullRequest": lambda host, target, body: (
        201,
        _pull(host, repo_at(host, target), edited(host, target, body, "body")),
    ),
    "repoCreatePullReviewRequests": _review,
    "issueListLabels": lambda host, target, _: (
        200,
        [{"id": number, "name": name} for name, number in repo_at(host, target).labels.items()],
    ),
    "issueAddLabel": _label,
}
