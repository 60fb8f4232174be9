"""A double of GitHub."""

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

LONGEST = 65_536


def _pull(host: Host, repo: Repo, pull: Pull) -> dict[str, Any]:
    owner = repo.slug.partition("/")[0]
    return {
        "number": pull.number,
        "html_url": f"{host.base}/{repo.slug}/pull/{pull.number}",
        "state": "open" if pull.state == "open" else "closed",
        "merged_at": "2026-01-01T00:00:00Z" if pull.state == "merged" else None,
        "title": pull.title,
        "body": pull.body or None,
        "draft": pull.draft,
        "head": {"ref": pull.head, "label": f"{owner}:{pull.head}", "repo": {"full_name": repo.slug}},
        "base": {"ref": pull.base, "label": f"{owner}:{pull.base}", "repo": {"full_name": repo.slug}},
    }


def _list(host: Host, target: str, _: Any) -> tuple[int, Any]:
    repo, query = repo_at(host, target), query_of(target)
    owner, _, branch = query.get("head", "").partition(":")
    pulls = [pull for pull in reversed(repo.pulls) if query.get("state") == "all" or pull.state == "open"]
    if branch and owner == repo.slug.partition("/")[0]:  # as on GitHub, anything else is no filter
        pulls = [pull for pull in pulls if pull.head == branch]
    return 200, [_pull(host, repo, pull) for pull in pulls]


def _create(host: Host, target: str, body: Any) -> tuple[int, Any]:
    repo = repo_at(host, target)
    said = f"A pull request already exists for {repo.slug.partition('/')[0]}:{body['head']}."
    taken = Refused(422, {"message": "Validation Failed", "errors": [{"code": "custom", "message": said}]})
    made = new_pull(
        repo,
        body["head"],
        body["base"],
        body["title"],
        body.get("body", ""),
        draft=body.get("draft", False),
        taken=taken,
    )
    return 201, _pull(host, repo, made)


def _review(host: Host, target: str, body: Any) -> tuple[int, Any]:
    ask_reviewers(host, target, body)
    return 201, _pull(host, repo_at(host, target), pull_at(host, target))


def _label(host: Host, target: str, body: Any) -> tuple[int, Any]:
    pull_at(host, target).labels += body["labels"]
    return 200, [{"id": 1, "name": name} for name in body["labels"]]


def _update(host: Host, target: str, body: Any) -> tuple[int, Any]:
    if len(body.get("body", "")) > LONGEST:
        said = f"body is too long (maximum is {LONGEST} characters)"
        raise Refused(422, {"message": "Validation Failed", "errors": [{"code": "custom", "message": said}]})
    return 200, _pull(host, repo_at(host, target), edited(host, target, body, "body"))


ANSWERS: dict[str, Answer] = {
    "repos/get": lambda host, target, _: (200, repository_as_json(repo_at(host, target))),
    "pulls/list": _list,
    "pulls/create": _create,
    "pulls/update": _update,
    "pulls/request-reviewers": _review,
    "issues/add-labels": _label,
}
