"""What happens to a copy of the helper module that is there, and runs that must make none."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests import oracle
from tests.helper.samples import BLOCKS, CALLS_HELPER, INLINE, defined, same_without_xformers
from tests.projects.harness import (
    COPY,
    assert_equal,
    execute,
    installed,
    rewrite,
    tree,
    write,
)
from xf2sdpa.cli import cli
from xf2sdpa.helper import text as copyin

# -- what happens to one that is there --------------------------------------------------------------------


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": BLOCKS})
    same_without_xformers(tmp_path)
    once = tree(tmp_path)
    assert COPY in once
    report = rewrite(tmp_path).output
    assert tree(tmp_path) == once
    assert "New" not in report
    assert ", 0 rewritten." in report
    rewrite(tmp_path, "--check")


def test_a_copy_grows_with_its_users(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    assert "SwiGLU" not in defined(tmp_path / COPY)
    write(tmp_path, {"more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})
    rewrite(tmp_path)
    assert {"SwiGLU", "memory_efficient_attention"} <= defined(tmp_path / COPY)
    assert tree(tmp_path)["more.py"].startswith("from _attention_compat import SwiGLU\n")
    assert copyin.is_untouched((tmp_path / COPY).read_text("utf-8"))


def test_a_copy_goes_with_its_last_user(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER, "more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})
    rewrite(tmp_path)
    assert "SwiGLU" in defined(tmp_path / COPY)
    (tmp_path / "more.py").unlink()
    rewrite(tmp_path)
    assert execute(tmp_path, oracle.absent).sdpa_calls
    write(tmp_path, {"main.py": "def run(q, k, v):\n    return 'eager', q\n"})
    report = rewrite(tmp_path).output
    assert not (tmp_path / COPY).exists()
    assert f"Deleted {tmp_path / COPY}" in report


FLAT = {
    "tests/unit/test_a.py": """\
from xformers.ops import LowerTriangularMask, memory_efficient_attention


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=LowerTriangularMask().add_bias(bias))
""",
    "tests/gpu/test_b.py": """\
from xformers.ops import fmha, memory_efficient_attention


def attend(q, k, v):
    return memory_efficient_attention(q, k, v, attn_bias=fmha.BlockDiagonalMask.from_seqlens([2, 2]))
""",
}
"""Two folders that are no packages: pytest imports the files of both in one process, by their bare names."""


def test_copies_of_one_top_level_name_are_alike(tmp_path: Path) -> None:
    write(tmp_path, FLAT)
    rewrite(tmp_path)
    copies = [tmp_path / "tests" / folder / COPY for folder in ("unit", "gpu")]
    assert {"LowerTriangularMask", "BlockDiagonalMask"} <= defined(copies[0])
    assert copies[0].read_bytes() == copies[1].read_bytes()
    after = tree(tmp_path)
    report = rewrite(tmp_path).output
    assert tree(tmp_path) == after, report


def test_a_copy_from_an_earlier_run_grows_with_others_of_its_top_level_name(tmp_path: Path) -> None:
    first, later = FLAT
    write(tmp_path, {first: FLAT[first]})
    rewrite(tmp_path)
    assert "BlockDiagonalMask" not in defined(tmp_path / first.replace("test_a.py", COPY))
    write(tmp_path, {later: FLAT[later]})
    report = rewrite(tmp_path).output
    copies = [tmp_path / "tests" / folder / COPY for folder in ("unit", "gpu")]
    assert {"LowerTriangularMask", "BlockDiagonalMask"} <= defined(copies[0])
    assert copies[0].read_bytes() == copies[1].read_bytes()
    assert f"Updated {copies[0]}" in report


def test_copies_of_different_packages_hold_what_each_needs(tmp_path: Path) -> None:
    one, other = FLAT.values()
    init = "from .layers import attend\n"
    write(tmp_path, {"one/unit/__init__.py": init, "one/unit/layers.py": one})
    write(tmp_path, {"two/gpu/__init__.py": init, "two/gpu/layers.py": other})
    rewrite(tmp_path)
    assert "BlockDiagonalMask" not in defined(tmp_path / "one/unit" / COPY)
    assert "BlockDiagonalMask" in defined(tmp_path / "two/gpu" / COPY)


def test_an_outdated_copy_is_renewed(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    new = (tmp_path / COPY).read_text("utf-8")
    body = new.partition(copyin._MARK)[2].partition("\n")[2].replace("attend", "heed")
    old = copyin._HEADER.format(version="0.0.1", mark=copyin._MARK, digest=copyin._digest(body)) + body
    (tmp_path / COPY).write_text(old)
    assert copyin.is_untouched(old)
    rewrite(tmp_path)
    assert (tmp_path / COPY).read_text("utf-8") == new


def test_a_copy_edited_by_hand_stays_and_the_report_says_what_it_lacks(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    edited = (tmp_path / COPY).read_text("utf-8") + "\n\nOURS = 1\n"
    (tmp_path / COPY).write_text(edited)
    write(tmp_path, {"more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})
    report = rewrite(tmp_path).output
    assert (tmp_path / COPY).read_text("utf-8") == edited
    assert f"{tmp_path / COPY} was edited, so it stays; it lacks SwiGLU." in report
    assert f"{tmp_path / 'more.py'}:1:1: XF412 " in report
    assert (tmp_path / "more.py").read_text() == "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"


@pytest.mark.parametrize("text", ["def other():\n    return 1\n", "from elsewhere import *\n"])
def test_nothing_goes_to_a_module_that_lacks_the_name(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER, COPY: text})
    rewrite(tmp_path)
    assert (tmp_path / "main.py").read_text() == CALLS_HELPER
    assert (tmp_path / COPY).read_text() == text


@pytest.mark.parametrize(
    "text", ["from elsewhere import {}\n", "try:\n    from a import {}\nexcept ImportError:\n    {} = 1\n"]
)
def test_a_module_may_take_the_name_from_elsewhere(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER, COPY: text.replace("{}", "memory_efficient_attention")})
    rewrite(tmp_path)
    assert "from _attention_compat import memory_efficient_attention" in (tmp_path / "main.py").read_text()


def test_a_copy_edited_by_hand_that_suffices_is_used_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    edited = (tmp_path / COPY).read_text("utf-8").replace("from __future__", "# ours now\nfrom __future__")
    (tmp_path / COPY).write_text(edited)
    write(tmp_path, {"main.py": CALLS_HELPER})
    report = same_without_xformers(tmp_path)
    assert (tmp_path / COPY).read_text("utf-8") == edited
    assert "lacks" not in report


def test_a_copy_edited_by_hand_stays_without_users(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    edited = (tmp_path / COPY).read_text("utf-8") + "\n\nOURS = 1\n"
    write(tmp_path, {COPY: edited, "main.py": "def run(q, k, v):\n    return 'eager', q\n"})
    rewrite(tmp_path)
    assert (tmp_path / COPY).read_text("utf-8") == edited


def test_a_file_of_that_name_that_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    theirs = "'''A module of the project that happens to have the name.'''\n\nVALUE = 1\n"
    write(tmp_path, {"main.py": CALLS_HELPER, COPY: theirs})
    report = rewrite(tmp_path).output
    assert (tmp_path / COPY).read_text("utf-8") == theirs
    assert "memory_efficient_attention" in report.partition(COPY)[2]


def test_a_copy_that_a_part_of_the_project_does_not_show_keeps_its_names(tmp_path: Path) -> None:
    write(
        tmp_path, {"pkg/__init__.py": "", "pkg/a.py": CALLS_HELPER, "pkg/sub/__init__.py": "", "pkg/sub/b.py": BLOCKS}
    )
    rewrite(tmp_path)
    held = defined(tmp_path / "pkg" / COPY)
    write(tmp_path, {"pkg/a.py": CALLS_HELPER})
    rewrite(tmp_path / "pkg" / "a.py")  # one file only: the others still need theirs
    assert held <= defined(tmp_path / "pkg" / COPY)


def test_a_copy_outside_the_given_files_keeps_its_users_elsewhere_in_the_package(tmp_path: Path) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/a.py": CALLS_HELPER, "pkg/b.py": CALLS_HELPER})
    rewrite(tmp_path)
    write(tmp_path, {"pkg/a.py": "import torch\n"})
    rewrite(tmp_path / "pkg" / "a.py")
    assert (tmp_path / "pkg" / COPY).exists()
    write(tmp_path, {"pkg/b.py": "import torch\n"})
    rewrite(tmp_path)
    assert not (tmp_path / "pkg" / COPY).exists()


# -- runs that must make none -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--check"], 1),
        (["--diff"], 1),
        (["--no-helper"], 0),
        (["--only", "exact"], 0),
        (["--select", "XF101"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_is_made(options: list[str], status: int, tmp_path: Path) -> None:
    before = tree(write(tmp_path, {"main.py": CALLS_HELPER}))
    report = rewrite(tmp_path, *options, status=status).output
    assert tree(tmp_path) == before
    assert ("Would make" in report) == (options[0] in ("--check", "--diff"))


def test_no_helper_rewrites_what_needs_none(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": INLINE, "other.py": CALLS_HELPER})
    before = execute(tmp_path, installed)
    rewrite(tmp_path, "--no-helper")
    assert_equal(before, execute(tmp_path, oracle.absent))
    assert tree(tmp_path)["other.py"] == CALLS_HELPER
    assert not (tmp_path / COPY).exists()


def test_what_can_be_inline_makes_none(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": INLINE})
    same_without_xformers(tmp_path)
    assert not (tmp_path / COPY).exists()


def test_style_compat_sends_every_call_there(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": INLINE})
    same_without_xformers(tmp_path, "--style", "compat")
    assert (tmp_path / COPY).exists()
    assert "scaled_dot_product_attention" not in tree(tmp_path)["main.py"]


def test_standard_input_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["rewrite", "-"], input=CALLS_HELPER)
    assert result.stdout == CALLS_HELPER
    assert not list(tmp_path.iterdir())


# -- its line ends ----------------------------------------------------------------------------------------


def line_ends(file: Path) -> set[str]:
    """What the lines of a file end in."""
    data = file.read_bytes()
    pairs = data.count(b"\r\n")
    return {end for end, count in (("\r\n", pairs), ("\n", data.count(b"\n") - pairs)) if count}


@pytest.mark.parametrize(
    ("windows", "unix", "expected"),
    [(("a", "b"), ("c",), "\r\n"), (("a",), ("b", "c"), "\n"), (("a",), (), "\r\n")],
)
def test_it_ends_its_lines_as_most_of_its_users_do(
    windows: tuple[str, ...], unix: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    for name in windows:
        (tmp_path / f"{name}.py").write_bytes(CALLS_HELPER.replace("\n", "\r\n").encode())
    write(tmp_path, {f"{name}.py": CALLS_HELPER for name in unix})
    rewrite(tmp_path, "--flags", "off")
    assert line_ends(tmp_path / COPY) == {expected}
    assert all(line_ends(tmp_path / f"{name}.py") == {"\r\n"} for name in windows), "their new import as well"
    assert all(line_ends(tmp_path / f"{name}.py") == {"\n"} for name in unix)


def test_a_copy_with_windows_line_ends_lives_on(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_bytes(CALLS_HELPER.replace("\n", "\r\n").encode())
    rewrite(tmp_path, "--flags", "off")
    once = tree(tmp_path)
    rewrite(tmp_path, "--flags", "off", "--check")
    assert tree(tmp_path) == once
    write(tmp_path, {"more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})
    rewrite(tmp_path, "--flags", "off")
    assert "SwiGLU" in defined(tmp_path / COPY), "it counts as unedited"
    assert line_ends(tmp_path / COPY) == {"\r\n"}, "it keeps its own"
    (tmp_path / "main.py").unlink()
    (tmp_path / "more.py").unlink()
    write(tmp_path, {"plain.py": "import torch\n"})
    rewrite(tmp_path, "--flags", "off")
    assert COPY not in tree(tmp_path)


def test_a_copy_that_is_put_back_has_the_ends_of_its_users(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_bytes(CALLS_HELPER.replace("\n", "\r\n").encode())
    rewrite(tmp_path, "--flags", "off")
    (tmp_path / COPY).unlink()
    rewrite(tmp_path, "--flags", "off")
    assert line_ends(tmp_path / COPY) == {"\r\n"}
