"""The token: where it comes from, and that it does not show itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import TOKEN, Host
from tests.run.commands import EXACT
from xf2sdpa.bot.model import BotError
from xf2sdpa.bot.remotes import Place, place_of
from xf2sdpa.bot.secret import Secret, find

GITHUB = place_of("https://github.com/o/n", {})
GITLAB = place_of("https://gitlab.com/o/n", {})


def nobody(_: Place) -> None:
    return None


def test_it_is_looked_for_in_variables_of_the_forge() -> None:
    several = {"GH_TOKEN": "second", "GITHUB_TOKEN": " first\n", "GITLAB_TOKEN": "other"}
    found = [find(place, several, nobody) for place in (GITHUB, GITLAB)]
    assert [secret.reveal() for secret in found if secret] == ["first", "other"]
    assert find(GITLAB, {"GITHUB_TOKEN": "x"}, nobody) is None, "a token for one forge does not go to another"
    assert find(GITHUB, {"GITHUB_TOKEN": ""}, nobody) is None


def test_helpers_are_asked_last() -> None:
    asked: list[str] = []

    def helper(place: Place) -> tuple[str, str]:
        asked.append(place.host)
        return "ada", "from-the-helper"

    secret = find(GITHUB, {}, helper)
    assert secret is not None
    assert (secret.reveal(), asked) == ("from-the-helper", ["github.com"])
    assert find(GITHUB, {"GITHUB_TOKEN": "x"}, helper) is not None
    assert asked == ["github.com"]


def test_it_shows_itself_nowhere() -> None:
    secret = Secret("a+b/c=", "oauth2")
    assert "a+b/c=" not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    told = f"x a+b/c= y {secret.basic()} z a%2Bb%2Fc%3D"
    assert secret.hidden_in(told) == "x *** y *** z ***"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX-Evil: 1", "a b", "ä", "\x00"])
def test_no_header_is_made_of_it(value: str) -> None:
    with pytest.raises(BotError, match="characters that no token has"):
        Secret(value, "x")


@pytest.mark.skipif(os.name == "nt", reason="a helper in sh")
def test_a_credential_helper_of_the_user_is_asked(host: Host, bot: Bot, tmp_path: Path) -> None:
    repo = host.seed("owner/name", {"a.py": EXACT})
    helper = tmp_path / "helper"
    helper.write_text(f'#!/bin/sh\ncat > "{tmp_path}/asked"\necho username=ada\necho password={TOKEN}\n')
    helper.chmod(0o755)
    (tmp_path / "home" / ".gitconfig").write_text(f"[credential]\n\thelper = {helper}\n\tuseHttpPath = true\n")
    told = bot.run("owner/name", token="")
    assert (told.status, len(repo.pulls)) == (0, 1), told.err
    asked = (tmp_path / "asked").read_text()
    assert "protocol=http\n" in asked
    assert f"host={host.base.removeprefix('http://')}\n" in asked
