"""What stands under a name may be a pipe, a device or a giant: none of them is waited for, or read to its end."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from xf2sdpa.files import search
from xf2sdpa.files.reading import LARGEST, read_regular
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import UNREADABLE, SourceError, read

ROOT = Path(__file__).parents[2]
EXACT = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return memory_efficient_attention(q, k, v, attn_bias=None)\n"
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    return subprocess.run(
        [sys.executable, "-m", "xf2sdpa", "rewrite", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        preexec_fn=bounded,
    )


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.txt", "setup.cfg", "setup.py", "environment.yml"])
@pytest.mark.parametrize("kind", ["pipe", "zeros"])
def test_pipes_and_devices_are_not_read(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "model.py").write_text(EXACT)
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    done = run(tmp_path, ".")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scaled_dot_product_attention" in (tmp_path / "model.py").read_text()


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "bytes", "no python", "zeros"])
def test_a_helper_that_cannot_be_one_costs_its_users_only(tmp_path: Path, kind: str) -> None:
    helper = tmp_path / "_attention_compat.py"
    (tmp_path / "model.py").write_text(EXACT.replace("    b, n, h, d = q.shape\n", ""))
    (tmp_path / "other.py").write_text(EXACT)
    {
        "pipe": lambda: os.mkfifo(helper),
        "folder": helper.mkdir,
        "loop": lambda: helper.symlink_to(helper.name),
        "bytes": lambda: helper.write_bytes(b"# caf\xe9\n"),
        "no python": lambda: helper.write_text("def (:\n"),
        "zeros": lambda: helper.symlink_to("/dev/zero"),
    }[kind]()
    done = run(tmp_path, ".")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "_attention_compat.py" in done.stdout
    assert "Traceback" not in done.stderr
    assert "scaled_dot_product_attention" in (tmp_path / "other.py").read_text()
    assert "xformers" in (tmp_path / "model.py").read_text()


def test_a_giant_is_named_and_the_rest_is_done(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(EXACT)
    (tmp_path / "giant.py").write_text(EXACT + "#" * LARGEST)
    (tmp_path / "harmless.py").write_text("#" * (LARGEST + 1))
    done = run(tmp_path, ".")
    assert done.returncode == 2
    assert "giant.py:1:1: XF902 error   cannot be read: larger than 5 MiB" in done.stdout
    assert "harmless" not in done.stdout
    assert "scaled_dot_product_attention" in (tmp_path / "model.py").read_text()


def test_read_regular(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        read_regular(tmp_path / "a", 4)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="not a regular file") as caught:
        read(tmp_path / "pipe")
    assert caught.value.code == UNREADABLE


def test_a_search_keeps_little_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks through a window; a word on the border of two is found."""
    monkeypatch.setattr(search, "_WINDOW", 1 << 18)
    for number in range(-3, 12):
        file = tmp_path / f"at{number}.py"
        file.write_bytes(b" " * ((1 << 18) - number) + b"xformers and word")
        assert Searcher([file]).first() == [file]
        searcher = Searcher([file])
        assert searcher.matching({b"word"}) == [file]
    (tmp_path / "none.py").write_bytes(b" " * (1 << 20))
    assert Searcher([tmp_path / "none.py"]).first() == []
