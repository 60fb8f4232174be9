"""What the doubles share: where a request leads, and what any forge does with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.bot.repositories import Pull, Repo

if TYPE_CHECKING:
    from tests.bot.host import Host

Answer = Callable[["Host", str, Any], tuple[int, Any]]
"""From the host, a target and a body to a status and a document."""


class Refused(Exception):
    """What a forge will not do, as it says so."""

    def __init__(self, status: int, document: Any) -> None:
        super().__init__(status)
        self.status = status
        self.document = document


def repo_at(host: Host, target: str) -> Repo:
    parts = urlsplit(target).path.split("/")
    slug = unquote(parts[2]) if parts[1] == "projects" else f"{unquote(parts[2])}/{unquote(parts[3])}"
    if slug not in host.repos:
        raise Refused(404, {"message": "Not Found"})
    return host.repos[slug]


def query_of(target: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}


def pull_at(host: Host, target: str) -> Pull:
    number = re.search(r"/(?:pulls|issues|merge_requests)/(\d+)", target)
    found = [pull for pull in repo_at(host, target).pulls if number and pull.number == int(number[1])]
    if not found:
        raise Refused(404, {"message": "Not Found"})
    return found[0]


def new_pull(repo: Repo, head: str, base: str, title: str, body: str, *, draft: bool, taken: Refused) -> Pull:
    """Make a request, as a forge would: from a branch that is there, not twice."""
    if any(pull.state == "open" and (pull.head, pull.base) == (head, base) for pull in repo.pulls):
        raise taken
    # A branch without a commit that its base does not have is refused, too.
    if not repo.tip(head) or not repo.tip(base) or not repo.git("rev-list", "-1", head, "--not", base):
        errors = [{"resource": "PullRequest", "field": "head", "code": "invalid"}]
        raise Refused(422, {"message": "Validation Failed", "errors": errors})
    repo.pulls.append(Pull(len(repo.pulls) + 1, head, base, title, body, draft))
    return repo.pulls[-1]


def repository_as_json(repo: Repo) -> dict[str, Any]:
    return {
        "full_name": repo.slug,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "fork": bool(repo.parent),
        **({"parent": {"full_name": repo.parent}} if repo.parent else {}),
        "permissions": {"admin": False, "push": repo.can_push, "pull": True},
    }


def edited(host: Host, target: str, body: Any, key: str) -> Pull:
    pull = pull_at(host, target)
    pull.body = body.get(key, pull.body)
    pull.edits += 1
    return pull


def ask_reviewers(host: Host, target: str, body: Any) -> None:
    asked = [*body.get("reviewers", []), *(f"team {name}" for name in body.get("team_reviewers", []))]
    if "nobody" in asked:
        raise Refused(422, {"message": "Reviews may only be requested from collaborators."})
    pull_at(host, target).reviewers += asked
