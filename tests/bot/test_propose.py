"""A request is opened once, kept up to date, and never forced on anybody: real git, and a forge that keeps state."""

from __future__ import annotations

import pytest

from tests.bot.conftest import AUTHOR, Bot
from tests.bot.doubles.github import LONGEST
from tests.bot.host import TOKEN, Fault, Host
from tests.bot.repositories import FILES, SLUG, Pull, commit
from tests.run.commands import COMPAT, EXACT, EXACT_AFTER, LEFT, PLAIN
from xf2sdpa.bot import git, propose
from xf2sdpa.bot.body import BEGIN, END
from xf2sdpa.bot.model import BRANCH, TITLE


def test_a_request_is_opened_and_then_left_as_it_is(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    before = repo.tip("main")
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], told.said["number"]) == (0, "created", 1), told.err
    (pull,) = repo.pulls
    assert (pull.head, pull.base, pull.title, pull.draft) == (BRANCH, "main", TITLE, False)
    assert repo.show(BRANCH, "src/model.py") == EXACT_AFTER.strip()
    assert repo.git("diff", "--name-only", "main", BRANCH) == "src/model.py"
    assert repo.git("rev-parse", f"{BRANCH}^") == before == repo.tip("main")
    assert repo.git("log", "-1", "--format=%an <%ae>|%cn <%ce>", BRANCH) == f"{AUTHOR}|{AUTHOR}"
    assert "src/model.py:7" in pull.body

    tip = repo.tip(BRANCH)
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], told.said["commit"]) == (0, "unchanged", tip)
    assert (repo.tip(BRANCH), len(repo.pulls), pull.edits) == (tip, 1, 0)


@pytest.mark.parametrize("forge", ["gitlab", "gitea"])
def test_on_the_other_forges(host: Host, forge: str) -> None:
    bot = Bot(host, forge)
    slug = "group/below/name" if forge == "gitlab" else SLUG
    repo = host.seed(slug, FILES)
    for number in range(3):  # requests of other branches, for a list of several pages
        commit(repo, f"other-{number}", {"plain.py": f"{number}\n"})
        repo.pulls.append(Pull(number + 1, f"other-{number}", "main", "other", ""))
    told = bot.run(slug, "--draft", "--label", "torch", "--reviewer", "ada")
    assert (told.status, told.said["operation"], told.said["warnings"]) == (0, "created", []), told.err
    pull = repo.pulls[-1]
    assert (pull.number, pull.draft, pull.labels) == (4, True, ["torch"])
    (made,) = (body for method, path, body in host.log if method == "POST" and path.endswith(("pulls", "requests")))
    assert made.get("remove_source_branch") is (True if forge == "gitlab" else None)
    assert pull.reviewers == (["42"] if forge == "gitlab" else ["ada"])
    assert bot.run(slug).said["operation"] == "unchanged"
    commit(repo, "main", {"src/more.py": EXACT})
    assert bot.run(slug).said["operation"] == "updated"
    assert "src/more.py:7" in pull.body
    pull.state = "closed"
    repo.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    told = bot.run(slug)
    assert (told.status, told.said["operation"], len(repo.pulls), repo.tip(BRANCH)) == (0, "declined", 4, "")


def test_an_open_request_is_brought_up_to_date(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    first = repo.tip(BRANCH)
    commit(repo, "main", {"src/more.py": EXACT})
    told = bot.run(SLUG)
    assert told.said["operation"] == "updated"
    assert repo.tip(BRANCH) == told.said["commit"] != first
    assert repo.git("rev-parse", f"{BRANCH}^") == repo.tip("main")
    assert repo.show(BRANCH, "src/more.py") == EXACT_AFTER.strip()
    assert "src/more.py:7" in repo.pulls[0].body
    assert len(repo.pulls) == 1


def test_what_does_not_touch_the_request_does_not_move_it(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    tip = repo.tip(BRANCH)
    commit(repo, "main", {"other.py": PLAIN})
    assert bot.run(SLUG).said["operation"] == "unchanged"
    assert repo.tip(BRANCH) == tip


def test_a_closed_request_is_not_opened_again(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    repo.pulls[0].state = "closed"
    tip = repo.tip(BRANCH)
    commit(repo, "main", {"src/more.py": EXACT})
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"]) == (0, "declined")
    assert (repo.tip(BRANCH), len(repo.pulls)) == (tip, 1)
    assert bot.run(SLUG, "--branch", "another").said["operation"] == "created"


def test_after_a_merge_what_comes_new_gets_a_request_of_its_own(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    repo.pulls[0].state = "merged"
    repo.git("update-ref", "refs/heads/main", repo.tip(BRANCH))
    assert bot.run(SLUG).said["operation"] == "nothing to do"
    commit(repo, "main", {"src/more.py": EXACT})
    told = bot.run(SLUG)
    assert (told.said["operation"], told.said["number"]) == ("created", 2)


@pytest.mark.parametrize("how", ["on top", "amended", "message", "instead"])
def test_commits_of_a_person_are_not_overwritten(host: Host, bot: Bot, how: str) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    body = repo.pulls[0].body
    if how == "on top":
        commit(repo, BRANCH, {"src/model.py": "mine = 1\n"})
    elif how == "amended":
        message = repo.git("log", "-1", "--format=%B", BRANCH)
        tree = repo.git("rev-parse", f"{commit(repo, BRANCH, {'src/model.py': 'mine = 1'})}^{{tree}}")
        made = repo.git("commit-tree", tree, "-p", "main", "-m", message)
        repo.git("update-ref", f"refs/heads/{BRANCH}", made)
    elif how == "message":
        message = repo.git("log", "-1", "--format=%B", BRANCH).replace("Made by", "Checked by Ada, made by")
        made = repo.git("commit-tree", f"{BRANCH}^{{tree}}", "-p", "main", "-m", message)
        repo.git("update-ref", f"refs/heads/{BRANCH}", made)
    else:
        repo.git("update-ref", f"refs/heads/{BRANCH}", "main")
        commit(repo, BRANCH, {"mine.py": PLAIN})
    tip = repo.tip(BRANCH)
    commit(repo, "main", {"src/more.py": EXACT})
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"]) == (0, "left alone"), told.err
    assert (repo.tip(BRANCH), repo.pulls[0].body) == (tip, body)


def test_a_push_of_a_person_in_between_wins(host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    commit(repo, "main", {"src/more.py": EXACT})
    real = propose.rewritten

    def slow(*arguments: object) -> object:
        commit(repo, BRANCH, {"mine.py": PLAIN})
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(propose, "rewritten", slow)
    told = bot.run(SLUG)
    assert told.status == 2
    assert f"{BRANCH} moved while this ran" in told.err
    assert repo.show(BRANCH, "mine.py") == PLAIN.strip()


def test_words_of_a_person_stay_in_the_text(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    pull = repo.pulls[0]
    pull.body = f"Ada: please wait.\r\n\r\n{pull.body}\r\n\r\nAda: thanks.".replace("\n", "\r\n").replace("\r\r", "\r")
    commit(repo, "main", {"src/more.py": EXACT})
    bot.run(SLUG)
    assert pull.body.startswith("Ada: please wait.\n\n<!--")
    assert pull.body.endswith("-->\n\nAda: thanks.")
    assert "src/more.py:7" in pull.body
    pull.body = "All mine."
    commit(repo, "main", {"src/even_more.py": EXACT})
    bot.run(SLUG)
    assert pull.body == "All mine."


@pytest.mark.parametrize("words", [20_000, 58_000])
def test_long_words_of_a_person_leave_less_room_for_ours(host: Host, bot: Bot, words: int) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    pull = repo.pulls[0]
    pull.body = f"{'Ada. ' * (words // 5)}{pull.body}\nAda: thanks."
    assert len(pull.body) <= LONGEST, "what a person was able to save"
    commit(repo, "main", {f"src/{'long_' * 20}{number}.py": EXACT for number in range(150)})
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"]) == (0, "updated"), told.err
    assert len(pull.body) <= LONGEST
    assert pull.body.startswith("Ada. Ada. ")
    assert pull.body.endswith("-->\nAda: thanks.")
    assert pull.body.count("<!-- xf2sdpa: ") == 2
    assert "**151 call sites**" in pull.body
    assert "Not shown here, for the length: " in pull.body
    assert bot.run(SLUG).said["operation"] == "unchanged"


def test_words_of_a_person_that_leave_no_room_at_all(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    pull = repo.pulls[0]
    pull.body = f"{'x' * 63_000}{BEGIN}\nshort\n{END}"
    before = pull.body
    commit(repo, "main", {"src/more.py": EXACT})
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], pull.body) == (0, "updated", before), told.err
    assert "the request's text was not brought up to date: what people wrote leaves no room" in told.err
    assert told.said["warnings"] == [line.partition("warning: ")[2] for line in told.err.splitlines() if "warn" in line]
    assert bot.run(SLUG, "--dry-run").status == 0


def test_where_nothing_is_to_be_done_nothing_is_opened(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"plain.py": PLAIN, "left.py": LEFT})
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], told.said["url"]) == (0, "nothing to do", None)
    assert (repo.pulls, repo.tip(BRANCH)) == ([], "")
    assert host.asked("POST") == []


def test_a_repository_without_python_has_nothing_to_rewrite(host: Host, bot: Bot) -> None:
    host.seed(SLUG, {"README.md": "with xformers\n"})
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"]) == (0, "nothing to do")


def test_a_helper_module_is_a_part_of_it(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"package/__init__.py": "", "package/model.py": COMPAT})
    bot.run(SLUG)
    assert repo.git("diff", "--name-status", "main", BRANCH).splitlines() == [
        "A\tpackage/_attention_compat.py",
        "M\tpackage/model.py",
    ]
    assert "_attention_compat.py</code> is new" in repo.pulls[0].body.replace("\\", "")


def test_options_of_the_request(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    commit(repo, "next", FILES)
    people = ("--reviewer", "ada", "--reviewer", "org/team", "--label", "torch", "--label", "a b")
    told = bot.run(SLUG, "--base", "next", "--title", "chore: torch", "--draft", *people, "--signoff", "--", "src")
    assert told.said["base"] == "next", told.err
    (pull,) = repo.pulls
    assert (pull.base, pull.title, pull.draft) == ("next", "chore: torch", True)
    assert (pull.labels, pull.reviewers) == (["torch", "a b"], ["ada", "team team"])
    written = repo.git("log", "-1", "--format=%s%n%(trailers:key=Signed-off-by)", BRANCH)
    assert written == f"chore: torch\nSigned-off-by: {AUTHOR}"


def test_a_reviewer_that_is_none_is_told_and_no_reason_to_fail(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    told = bot.run(SLUG, "--reviewer", "nobody", "--label", "torch")
    assert (told.status, told.said["operation"], repo.pulls[0].labels) == (0, "created", ["torch"])
    assert "reviewers nobody were not set" in told.err
    assert "only be requested from collaborators" in told.said["warnings"][0]


def test_a_dry_run_prints_everything_and_does_nothing(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    told = bot.run(SLUG, "--dry-run", "--label", "torch", json_too=False)
    assert told.status == 0
    assert (repo.pulls, repo.tip(BRANCH), host.asked("POST"), host.asked("PATCH")) == ([], "", [], [])
    for part in (f"{BRANCH} -> main", f"title: {TITLE}", "labels: torch", "Xf2sdpa-Mark: ", "src/model.py:7", "Undo:"):
        assert part in told.out
    assert "\n-import xformers.ops as xops\n" in told.out
    assert not any("git-receive-pack" in path for _, path, _ in host.log)
    public = bot.run(SLUG, "--dry-run", token="")
    assert (public.status, public.said["operation"]) == (0, "planned")


def test_a_dry_run_of_an_update(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    tip = repo.tip(BRANCH)
    commit(repo, "main", {"src/more.py": EXACT})
    told = bot.run(SLUG, "--dry-run")
    assert "would change request 1" in told.said["plan"]
    assert (repo.tip(BRANCH), repo.pulls[0].edits) == (tip, 0)


# -- what goes wrong ------------------------------------------------------------------------------------


def test_long_work_says_that_it_goes_on(host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    host.seed(SLUG, FILES)
    monkeypatch.setattr(git, "_HEARTBEAT", 0.001)
    told = bot.run(SLUG)
    assert told.status == 0
    lines = [line.split(",")[0] for line in told.err.splitlines()]
    steps = ["asking 127.0.0.1", "fetching main", "still fetching", "rewriting", "pushing", "opening the request"]
    places = [next(n for n, line in enumerate(lines) if f"xf2sdpa: {step}" in line) for step in steps]
    assert places == sorted(places)
    assert bot.run(SLUG, "--quiet").err == ""


def test_the_token_is_seen_nowhere(host: Host, bot: Bot, capfd: pytest.CaptureFixture[str]) -> None:
    repo = host.seed(SLUG, FILES)
    host.faults.append(Fault("GET", r"/pulls\?", 500, document={"message": f"you sent Bearer {TOKEN}"}))
    told = bot.run(SLUG)
    seen = [told.out, told.err, *capfd.readouterr(), repo.pulls[0].body, repo.pulls[0].title]
    seen += [repo.git("cat-file", "commit", BRANCH), repo.git("config", "--list")]
    seen += [path for _, path, _ in host.log]
    assert "you sent Bearer ***" in told.err
    assert not [text for text in seen if TOKEN in text or "U0VDUkVU" in text]
    assert sum(TOKEN in heard.get("Authorization", "") for heard in host.heard) >= 3
