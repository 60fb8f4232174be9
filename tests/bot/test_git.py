"""Git of the bot's: what is handed to it arrives, however long it takes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from xf2sdpa.bot import git
from xf2sdpa.bot.remotes import place_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.mark.timeout(60)
def test_what_is_handed_over_arrives_where_the_wait_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "_HEARTBEAT", 0.0001)
    told: list[str] = []
    ours = git.Git(tmp_path, place_of("https://github.com/owner/name", {}), None, told.append)
    ours.init()
    data = b"x" * 5_000_000
    name = ours.run("hash-object", "--stdin", data=data, doing="hashing")
    assert name.decode().strip() == hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()
    assert told, "it was waited for more than once"
