"""Which repository an address means, and which hosts may have a token."""

from __future__ import annotations

import pytest

from xf2sdpa.bot.model import BotError
from xf2sdpa.bot.remotes import place_of

ACTIONS = {"GITHUB_SERVER_URL": "https://git.corp.example", "GITHUB_API_URL": "https://git.corp.example/api/v3"}


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/owner/name.git",
        "https://github.com/owner/name",
        "https://github.com/owner/name/",
        "https://user:secret@GitHub.com/owner/name.git",
        "ssh://git@github.com/owner/name.git",
        "ssh://git@ssh.github.com:443/owner/name.git",
        "git@github.com:owner/name.git",
        "github.com:owner/name",
    ],
)
def test_ways_to_write_one_repository(remote: str) -> None:
    place = place_of(remote, {})
    assert (place.forge, place.api, place.slug) == ("github", "https://api.github.com", "owner/name")
    assert place.git_url == "https://github.com/owner/name.git"
    assert place.host == "github.com"


@pytest.mark.parametrize(
    ("remote", "api", "forge", "expected"),
    [
        ("https://gitlab.com/a/b/c.git", "", "", ("gitlab", "https://gitlab.com/api/v4", "a/b/c")),
        ("git@codeberg.org:o/.profile.git", "", "", ("gitea", "https://codeberg.org/api/v1", "o/.profile")),
        ("https://x.ghe.com/o/n", "https://api.x.ghe.com", "github", ("github", "https://api.x.ghe.com", "o/n")),
        ("https://c.example/o/n", "https://c.example/api/v3/", "", ("github", "https://c.example/api/v3", "o/n")),
        ("git@c.example:o/n", "https://c.example:8443/api/v4", "", ("gitlab", "https://c.example:8443/api/v4", "o/n")),
        (
            "https://c.example/git/o/n",
            "https://c.example/git/api/v1",
            "",
            ("gitea", "https://c.example/git/api/v1", "o/n"),
        ),
        ("git@c.example:o/n", "https://c.example/git/api/v1", "", ("gitea", "https://c.example/git/api/v1", "o/n")),
        ("http://[::1]:80/o/n", "http://[::1]:80/api/v1", "", ("gitea", "http://[::1]:80/api/v1", "o/n")),
        ("ssh://git@[::1]/o/n", "http://[::1]:80/api/v1", "", ("gitea", "http://[::1]:80/api/v1", "o/n")),
        ("http://127.0.0.1:80/o/n", "http://127.0.0.1:80/api/v1", "", ("gitea", "http://127.0.0.1:80/api/v1", "o/n")),
    ],
)
def test_forges_of_ones_own(remote: str, api: str, forge: str, expected: tuple[str, str, str]) -> None:
    place = place_of(remote, {}, api=api, forge=forge)
    assert (place.forge, place.api, place.slug) == expected


def test_a_ci_service_names_its_forge() -> None:
    place = place_of("https://git.corp.example/o/n", ACTIONS)
    assert (place.forge, place.api) == ("github", "https://git.corp.example/api/v3")
    assert place_of("https://git.corp.example/o/n", {**ACTIONS, "GITEA_ACTIONS": "true"}).forge == "gitea"
    place = place_of("git@gl.example:o/n", {"CI_SERVER_URL": "https://gl.example"})
    assert (place.forge, place.api) == ("gitlab", "https://gl.example/api/v4")
    with pytest.raises(BotError, match="not known"):
        place_of("https://elsewhere.example/o/n", ACTIONS)


@pytest.mark.parametrize(
    ("remote", "options", "why"),
    [
        ("https://evil.example/o/n", {}, "not known"),
        ("https://evil.example/o/n", {"forge": "github"}, "not known"),
        ("https://github.com/o/n", {"forge": "gitlab"}, "not known"),
        ("https://evil.example/o/n", {"api": "https://api.github.com"}, "does not go to another"),
        ("https://github.com:444/o/n", {"api": "https://api.github.com"}, "does not go to another"),
        ("https://c.example/o/n", {"api": "https://c.example/rest"}, "cannot be told"),
        ("http://c.example/o/n", {"api": "http://c.example/api/v3"}, "in the clear"),
        ("https://c.example/o/n", {"api": "ftp://c.example/api/v3"}, "no address of an API"),
        ("https://c.example/o/n", {"api": "https://u:p@c.example/api/v3"}, "no address of an API"),
        ("https://c.example/o/n", {"api": "https://c.example/api/v3?x"}, "no address of an API"),
        ("https://github.com/only", {}, "names no repository"),
        ("https://github.com/o/../n", {}, "names no repository"),
        ("https://github.com/o/a b", {}, "names no repository"),
        ("https://github.com/o/n?x=1", {}, None),
        ("https://github.com:x/o/n", {}, "no https or ssh address"),
        ("file:///o/n", {}, "no https or ssh address"),
        ("ext::sh -c x", {}, "no https or ssh address"),
        ("/o/n", {}, "no https or ssh address"),
        ("C:\\o\\n", {}, "no https or ssh address"),
    ],
)
def test_what_is_refused(remote: str, options: dict[str, str], why: str | None) -> None:
    if why is None:
        assert place_of(remote, {}, **options).slug == "o/n"
        return
    with pytest.raises(BotError, match=why):
        place_of(remote, {}, **options)


@pytest.mark.parametrize(("forge", "between"), [("github", "blob"), ("gitlab", "-/blob"), ("gitea", "src/commit")])
def test_pages_of_files(forge: str, between: str) -> None:
    api = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}[forge]
    place = place_of("https://c.example/o/n", {}, api=f"https://c.example{api}")
    assert place.blob("c0", "a b/(x)#\udcff.py", 7) == f"https://c.example/o/n/{between}/c0/a%20b/%28x%29%23%FF.py#L7"
