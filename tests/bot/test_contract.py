"""The double is as strict as the descriptions, and the bot uses all that they were cut to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bot import host as hosts
from tests.bot.conftest import Bot
from tests.bot.contract import Contract, Violation
from tests.bot.host import Host
from tests.bot.repositories import Pull, commit
from tests.run.commands import EXACT

PULLS = "/repos/o/n/pulls"
NEW = {"title": "t", "head": "h", "base": "main", "body": "b", "draft": False}


def test_the_descriptions_say_where_they_come_from() -> None:
    for file in Path(__file__).parent.glob("*_api.json"):
        source = json.loads(file.read_text("utf-8"))["source"]
        assert "licence" in source or "names and types" in source


def test_what_is_right_passes() -> None:
    github = Contract("github_api")
    assert github.request("POST", PULLS, NEW) == "pulls/create"
    assert github.request("GET", f"{PULLS}?head=o%3Ab&state=all&per_page=100", None) == "pulls/list"
    github.answer("pulls/list", 200, [{"number": 1, "merged_at": None}])


@pytest.mark.parametrize(
    ("name", "method", "target", "body"),
    [
        ("github_api", "POST", PULLS, {key: value for key, value in NEW.items() if key != "base"}),
        ("github_api", "POST", PULLS, {**NEW, "draft": "yes"}),
        ("github_api", "POST", PULLS, {**NEW, "labels": ["x"]}),
        ("github_api", "POST", PULLS, None),
        ("github_api", "GET", f"{PULLS}?state=merged", None),
        ("github_api", "GET", f"{PULLS}?branch=x", None),
        ("github_api", "PUT", f"{PULLS}/1", {"body": "x"}),
        ("github_api", "PATCH", f"{PULLS}/x/y", {"body": "x"}),
        ("github_api", "POST", "/repos/o/n/issues/1/labels", {"labels": []}),
        ("gitlab_api", "POST", "/projects/o%2Fn/merge_requests", {"title": "t", "source_branch": "b"}),
        ("gitlab_api", "POST", "/projects/o/n/merge_requests", {"title": "t"}),
        ("gitlab_api", "PUT", "/projects/5/merge_requests/1", {"reviewer_ids": ["ada"]}),
        ("gitea_api", "POST", PULLS, {**NEW}),
        ("gitea_api", "PATCH", f"{PULLS}/1", {"labels": ["x"]}),
    ],
)
def test_what_is_wrong_does_not(name: str, method: str, target: str, body: Any) -> None:
    with pytest.raises(Violation):
        Contract(name).request(method, target, body)


def test_an_answer_of_another_type_does_not() -> None:
    with pytest.raises(Violation):
        Contract("github_api").answer("pulls/list", 200, [{"number": "1"}])


@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea"])
def test_everything_that_is_described_is_used(host: Host, forge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Contract(f"{forge}_api")
    monkeypatch.setattr(hosts, "contract", lambda _: made)
    bot = Bot(host, forge)
    repo = host.seed("owner/name", {"a.py": EXACT})
    repo.pulls.append(Pull(1, "other", "main", "other", ""))
    bot.run("owner/name", "--label", "torch", "--reviewer", "ada")
    commit(repo, "main", {"b.py": EXACT})
    assert bot.run("owner/name").said["operation"] == "updated"
    described = json.loads((Path(__file__).parent / f"{forge}_api.json").read_text("utf-8"))["paths"].values()
    assert made.seen == {operation["operationId"] for methods in described for operation in methods.values()}
