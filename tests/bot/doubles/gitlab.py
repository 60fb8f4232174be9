"""A double of GitLab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bot.doubles.common import Answer, Refused, edited, new_pull, query_of, repo_at
from tests.bot.repositories import Pull, Repo

if TYPE_CHECKING:
    from tests.bot.host import Host


def _pull(host: Host, repo: Repo, pull: Pull) -> dict[str, Any]:
    return {
        "iid": pull.number,
        "web_url": f"{host.base}/{repo.slug}/-/merge_requests/{pull.number}",
        "state": "opened" if pull.state == "open" else pull.state,
        "title": pull.title,
        "description": pull.body or None,
        "source_branch": pull.head,
        "target_branch": pull.base,
        "source_project_id": 5,
        "target_project_id": 5,
        "draft": pull.draft,
    }


def _get(host: Host, target: str, _: Any) -> tuple[int, Any]:
    repo = repo_at(host, target)
    level = {"access_level": 30 if repo.can_push else 20}
    about = {
        "id": 5,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "path_with_namespace": repo.slug,
    }
    parent = {"forked_from_project": {"path_with_namespace": repo.parent}} if repo.parent else {}
    return 200, {**about, **parent, "permissions": {"project_access": level, "group_access": None}}


def _list(host: Host, target: str, _: Any) -> tuple[int, Any]:
    repo, query = repo_at(host, target), query_of(target)
    found = [pull for pull in reversed(repo.pulls) if pull.head == query["source_branch"] and query["state"] == "all"]
    return 200, [_pull(host, repo, pull) for pull in found]


def _create(host: Host, target: str, body: Any) -> tuple[int, Any]:
    repo = repo_at(host, target)
    taken = Refused(409, {"message": ["Another open merge request already exists for this source branch: !1"]})
    draft = body["title"].startswith("Draft:")
    branches = body["source_branch"], body["target_branch"]
    made = new_pull(repo, *branches, body["title"], body.get("description", ""), draft=draft, taken=taken)
    return 201, _pull(host, repo, made)


def _edit(host: Host, target: str, body: Any) -> tuple[int, Any]:
    pull = edited(host, target, body, "description")
    pull.labels += body.get("add_labels", [])
    pull.reviewers += map(str, body.get("reviewer_ids", []))
    return 200, _pull(host, repo_at(host, target), pull)


ANSWERS: dict[str, Answer] = {
    "getApiV4ProjectsId": _get,
    "getApiV4ProjectsIdMergeRequests": _list,
    "postApiV4ProjectsIdMergeRequests": _create,
    "putApiV4ProjectsIdMergeRequestsMergeRequestIid": _edit,
    "getApiV4Users": lambda _, target, __: (
        200,
        [] if query_of(target)["username"] == "nobody" else [{"id": 42, "username": query_of(target)["username"]}],
    ),
}
