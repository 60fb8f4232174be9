"""Names of other people's making do nothing when printed: to a terminal, a workflow's runner, JSON, a shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from xf2sdpa.cli import cli
from xf2sdpa.files.plain import plain, shell_word

ROOT = Path(__file__).parents[2]
EXACT = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return memory_efficient_attention(q, k, v, attn_bias=None)\n"
)
COMPAT = EXACT.replace("    b, n, h, d = q.shape\n", "")
EVIL = (
    "::error::x",
    "a\n::set-output name=x::y",
    " ::stop-commands::z",
    "##[add-mask]x",
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\u202egnp",
    "\x9b2J",
    "\u2028::error::x",
    os.fsdecode(b"caf\xe9"),
    "\r::error::x",
)
DOES_SOMETHING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]|##\[|(?m:^\s*::)"
)


@pytest.mark.parametrize("text", EVIL)
def test_plain(text: str) -> None:
    assert DOES_SOMETHING.search(text)
    assert not DOES_SOMETHING.search(plain(text))
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("text", ["src/a.py", "naïve café/模型.py", "a::b.py", "C:\\x.py", ""])
def test_what_is_plain_stays(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize("name", [*EVIL, "a b", "$(touch ran)", "'; touch ran; '", "-x", "a'b\n"])
def test_a_pasted_word_is_the_name(tmp_path: Path, name: str) -> None:
    word = shell_word(name)
    assert not DOES_SOMETHING.search(word)
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout in {os.fsencode(name), b"./" + os.fsencode(name)}
    assert not list(tmp_path.iterdir())


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "xf2sdpa", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=60)


def shown(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + done.stderr).decode("utf-8")  # which it must be


@pytest.mark.parametrize("options", [(), ("--check",), ("--diff",), ("--output-format", "json", "--check"), ("-v",)])
def test_names_of_files(tmp_path: Path, options: tuple[str, ...]) -> None:
    for name in EVIL:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "m.py").write_text(COMPAT)
        (folder / "bad.py").write_text("import xformers.ops\nxformers.ops.memory_efficient_attention(\n")
        (folder / "requirements.txt").write_bytes(os.fsencode(f"xformers # {name}\ntorch==1.13\n"))
    done = run(tmp_path, "rewrite", *options, "--", *EVIL)
    assert done.returncode == 2
    text = shown(done)
    assert not DOES_SOMETHING.search(text)
    assert "Traceback" not in text
    if "json" in options:
        paths = {file["path"] for file in json.loads(done.stdout)["files"]}
        assert paths == {f"{name}/{file}" for name in EVIL for file in ("m.py", "bad.py")}


@pytest.mark.parametrize("table", ["{0} = 1", "torch = {0}", "exclude = [{0}, '']", "select = [{0}]", "paths = [{0}]"])
def test_configured_text(tmp_path: Path, table: str) -> None:
    (tmp_path / "m.py").write_text(EXACT)
    for name in EVIL[:-2]:
        (tmp_path / "pyproject.toml").write_text("[tool.xf2sdpa]\n" + table.format(json.dumps(name)) + "\n")
        result = CliRunner().invoke(cli, ["rewrite", "--check", *([] if "paths" in table else [str(tmp_path)])])
        assert result.exit_code == 2
        assert not DOES_SOMETHING.search(result.output)


@pytest.mark.parametrize("name", EVIL)
def test_words_of_the_command_line(name: str) -> None:
    for arguments in (
        ["rewrite", "--", name],
        ["rewrite", f"--{name}"],
        ["rewrite", "--device", name],
        [name],
        ["rewrite", "--flags-in", name, "."],
        ["verify", "--", name],
        ["explain", name],
    ):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 2, arguments
        assert not DOES_SOMETHING.search(result.output), arguments


def test_the_hint_for_a_new_helper_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "it's $(here)"
    folder.mkdir()
    (tmp_path / ".git").mkdir()
    (folder / "m.py").write_text(COMPAT)
    done = run(tmp_path, "rewrite", folder.name)
    assert f"git add {shell_word(folder.name + '/_attention_compat.py')}" in shown(done)
