"""What a forge refuses, limits or loses on the way: told with the way out, tried again with a bound, never twice."""

from __future__ import annotations

import time

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import Fault, Host
from tests.bot.repositories import FILES, SLUG, Pull
from xf2sdpa.bot import propose
from xf2sdpa.bot.forges.base import NewRequest
from xf2sdpa.bot.model import BRANCH


def test_a_wrong_token(host: Host, bot: Bot) -> None:
    host.seed(SLUG, FILES)
    told = bot.run(SLUG, token="no-such-token")
    assert told.status == 2
    assert "401 Bad credentials" in told.err
    assert "no-such-token" not in told.err


def test_no_token(host: Host, bot: Bot) -> None:
    host.seed(SLUG, FILES)
    told = bot.run(SLUG, token="")
    assert told.status == 2
    assert "there is no token for 127.0.0.1" in told.err
    assert "Set GITHUB_TOKEN or GH_TOKEN" in told.err
    assert host.log == []


def test_a_token_without_rights_and_a_fork(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    repo.can_push = False
    told = bot.run(SLUG)  # what GitHub says of rights is not asked: of an app it always says that it has none
    assert told.status == 2
    assert "the token may not push to the repository" in told.err
    for forge in ("gitlab", "gitea"):
        assert f"the token may not push to {SLUG}" in Bot(host, forge).run(SLUG).err
    repo.can_push, repo.parent = True, "upstream/name"
    told = bot.run(SLUG)
    assert told.status == 2
    assert f"{SLUG} is a fork of upstream/name" in told.err
    assert bot.run(SLUG, "--allow-fork").said["operation"] == "created"
    repo.archived = True
    assert "is archived" in bot.run(SLUG).err


def test_a_protected_branch(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    hook = repo.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'error: GH006: Protected branch update failed for refs/heads/x.' >&2\nexit 1\n")
    hook.chmod(0o755)
    told = bot.run(SLUG)
    assert told.status == 2
    assert f"{BRANCH} is protected" in told.err
    assert "GH006" in told.err
    assert repo.pulls == []


@pytest.mark.parametrize(
    ("said", "told_as"),
    [
        ("GitLab: You are not allowed to push code to protected branches on this project.", "is protected"),
        ("Gitea: Not allowed to push to protected branch xf2sdpa/torch-sdpa", "is protected"),
        ("Forgejo: branch xf2sdpa/torch-sdpa is protected from force push", "is protected"),
        ("error: GH013: Repository rule violations found for refs/heads/x.", "is protected"),
        ("refusing to allow a GitHub App to create a workflow without `workflows` permission", "change workflows"),
        ("refusing to allow an OAuth App to update workflow `x.yml` without `workflow` scope", "change workflows"),
        ("fatal: you are out of space", "was not taken: fatal: you are out of space"),
        ("\x1b[31m::error::\u202e" + "x" * 1000, "was not taken: \\x1b[31m::error::"),
    ],
)
def test_a_push_that_the_forge_refuses(host: Host, bot: Bot, said: str, told_as: str) -> None:
    repo = host.seed(SLUG, FILES)
    hook = repo.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    hook.chmod(0o755)
    told = bot.run(SLUG)
    assert told.status == 2
    assert told_as in told.err
    assert "\x1b" not in told.err
    assert not [line for line in told.err.splitlines() if line.startswith("::") or len(line) > 600]


def test_git_refuses_where_the_api_does_not(host: Host, bot: Bot) -> None:
    host.seed(SLUG, FILES)
    host.faults.append(Fault("GET", "service=git-receive-pack", 403))
    told = bot.run(SLUG)
    assert told.status == 2
    assert "the token may not push" in told.err


def test_wrong_bases_and_names(host: Host, bot: Bot) -> None:
    host.seed(SLUG, FILES)
    assert f"{SLUG} has no branch nowhere" in bot.run(SLUG, "--base", "nowhere").err
    assert "main is the base" in bot.run(SLUG, "--branch", "main").err
    for name in ("-x", "a b", "a..b", "x.lock"):
        assert f"{name} is no name for a branch" in bot.run(SLUG, f"--branch={name}").err
    assert "404 Not Found" in bot.run("owner/nothing").err


def test_a_server_error_is_tried_again(host: Host, bot: Bot, bare: list[float]) -> None:
    repo = host.seed(SLUG, FILES)
    host.faults.append(Fault("GET", r"/pulls\?", 500, document={"message": "oops"}))
    told = bot.run(SLUG)
    assert (told.said["operation"], bare) == ("created", [1.0])
    assert "500 oops; trying again" in told.err
    host.faults.append(Fault("GET", r"/pulls\?", 502, times=9))
    told = bot.run(SLUG)
    assert (told.status, bare[1:]) == (2, [1.0, 2.0, 4.0])
    assert len(repo.pulls) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("status", [0, 500])
@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea"])
def test_a_request_that_may_have_been_opened_is_not_opened_twice(
    host: Host, forge: str, status: int, after: bool
) -> None:
    repo = host.seed(SLUG, FILES)
    host.faults.append(Fault("POST", r"/(pulls|merge_requests)$", status, after=after))
    told = Bot(host, forge).run(SLUG)
    assert (told.status, told.said["operation"], len(repo.pulls)) == (0, "created", 1), told.err
    asked = [path for path in host.asked("POST") if path.endswith(("/pulls", "/merge_requests"))]
    assert len(asked) == (1 if after else 2)


@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea"])
def test_somebody_else_opens_it_first(host: Host, forge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forge says that there is one already (422, 409): it is found, and no reason to fail."""
    repo = host.seed(SLUG, FILES)
    bot = Bot(host, forge)
    real = propose.Bot._opened

    def late(self: propose.Bot, new: NewRequest) -> object:
        repo.pulls.append(Pull(1, BRANCH, "main", "of another run", new.body))
        return real(self, new)

    monkeypatch.setattr(propose.Bot, "_opened", late)
    told = bot.run(SLUG)
    assert (told.status, told.said["number"], len(repo.pulls)) == (0, 1, 1), told.err


@pytest.mark.parametrize(
    ("forge", "headers"),
    [
        ("gitlab", {"RateLimit-Remaining": "0", "RateLimit-Reset": "{now}"}),
        ("gitea", {"Retry-After": "3"}),
        ("github", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{now}"}),
        ("gitlab", {}),
    ],
)
def test_rate_limits_as_each_forge_tells_them(
    host: Host, bare: list[float], forge: str, headers: dict[str, str]
) -> None:
    repo = host.seed(SLUG, FILES)
    given = {name: value.format(now=int(time.time()) + 20) for name, value in headers.items()}
    host.faults.append(Fault("GET", r"/(pulls|merge_requests)\?", 429, given, {"message": "slow down"}))
    assert Bot(host, forge).run(SLUG).said["operation"] == "created"
    (waited,) = bare
    assert waited == 3.0 if "Retry-After" in headers else waited == 60.0 if not headers else 10 < waited <= 21
    assert len(repo.pulls) == 1


def test_the_connection_is_lost_after_the_push(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    host.faults.append(Fault("POST", "git-receive-pack$", 0, after=True))
    host.faults.append(Fault("POST", r"/pulls$", 0, times=9))
    told = bot.run(SLUG)
    assert told.status == 2
    assert "no answer" in told.err
    tip = repo.tip(BRANCH)
    assert (bool(tip), repo.pulls) == (True, [])
    host.faults.clear()
    told = bot.run(SLUG)
    assert (told.said["operation"], told.said["commit"], repo.tip(BRANCH)) == ("created", tip, tip)


def test_a_rate_limit_is_waited_for_up_to_a_bound(host: Host, bot: Bot, bare: list[float]) -> None:
    host.seed(SLUG, FILES)
    said = {"message": "You have exceeded a secondary rate limit"}
    host.faults.append(Fault("GET", r"/pulls\?", 403, {"Retry-After": "7"}, said))
    assert bot.run(SLUG).said["operation"] == "created"
    assert bare == [7.0]
    host.faults.append(
        Fault("GET", r"/pulls\?", 403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"})
    )
    told = bot.run(SLUG)
    assert told.status == 2
    assert "a rate limit that ends in" in told.err
    host.faults.append(Fault("GET", r"/pulls\?", 429, {"Retry-After": "50"}, times=9))
    told = bot.run(SLUG)
    assert (told.status, bare) == (2, [7.0, 50.0, 50.0])


def test_a_refusal_is_told_as_the_forge_tells_it(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    said = {"message": "GitHub Actions is not permitted to create or approve pull requests."}
    host.faults.append(Fault("POST", r"/pulls$", 403, document=said))
    told = bot.run(SLUG)
    assert told.status == 2
    assert "GitHub Actions is not permitted" in told.err
    errors = [{"resource": "PullRequest", "field": "base", "code": "invalid"}]
    host.faults.append(Fault("POST", r"/pulls$", 422, document={"message": "Validation Failed", "errors": errors}))
    told = bot.run(SLUG)
    assert told.status == 2
    assert "422 Validation Failed; PullRequest base invalid" in told.err
    assert repo.pulls == []
