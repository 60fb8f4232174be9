"""Of many programs none gets flags unasked, and the likeliest is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flags.planned import HALF, MARK, TF32, TRAIN, WITHOUT_CONVOLUTION, rewrite, train
from tests.flags.programs import NETS
from tests.projects import harness


def programs(root: Path, count: int, text: str = TRAIN) -> list[Path]:
    (root / "train.py").unlink(missing_ok=True)
    files = [root / "scripts" / f"train_{number:02}.py" for number in range(count)]
    harness.write(root, {file.relative_to(root).as_posix(): text for file in files})
    return files


@pytest.mark.parametrize(("count", "edited"), [(3, 3), (4, 0), (50, 0)])
def test_at_most_three_files_are_edited_unasked(count: int, edited: int, root: Path) -> None:
    files = programs(root, count)
    output = rewrite(root).output
    assert sum(MARK in file.read_text() for file in files) == edited
    told = [line for line in output.splitlines() if "XF508" in line]
    assert told == (
        []
        if edited
        else [
            f"XF508: {count} entry points would get H200 flags, and more than 3 are not edited unasked: "
            f"name those that shall, --flags-in {files[0]} (may be repeated)."
        ]
    )
    assert output.count("XF50") == (edited or 1)


OTHERS = ("aaa.py", "bench_a/run.py", "zoo/deep/train.py", "apply.py", "trainers.py")


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ((), "zoo/deep/train.py"),
        (("tools/train_net.py",), "tools/train_net.py"),
        (("tools/train_net.py", "z/main.py"), "tools/train_net.py"),
        (("tools/demo.py", "zz_2/app.py", "main2.py"), "main2.py"),
        (("tools/Fine-Tune_lora.py", "scripts/a_train.py"), "tools/Fine-Tune_lora.py"),
        (("inference.py", "demo.py"), "demo.py"),
    ],
)
def test_of_many_the_likeliest_is_named(names: tuple[str, ...], named: str, root: Path) -> None:
    (root / "train.py").unlink()
    harness.write(root, dict.fromkeys((*OTHERS, *names), TRAIN))
    assert f"--flags-in {root / named} (may be" in rewrite(root).output


def test_programs_without_a_reason_do_not_count(root: Path) -> None:
    (root / "nets/model.py").write_text(WITHOUT_CONVOLUTION)
    programs(root, 50, HALF)
    harness.write(root, {"train.py": TRAIN})
    assert "XF508" not in rewrite(root).output
    assert TF32 in train(root)


def test_of_many_those_that_are_named_get_flags(root: Path) -> None:
    first, second, *others = programs(root, 50)
    output = rewrite(root, "--flags-in", first, "--flags-in", second).output
    assert "XF508" not in output
    assert all(MARK in file.read_text() for file in (first, second))
    assert not any(MARK in file.read_text() for file in others)


def test_of_many_those_that_have_a_block_keep_it_up_to_date(root: Path) -> None:
    first, *others = programs(root, 5)
    rewrite(root, "--flags-in", first)
    harness.write(root, {"nets/attention.py": NETS["nets/attention.py"]})
    assert "XF502 flags   now cudnn-benchmark" in rewrite(root, "--flags", "safe").output
    assert TF32 not in first.read_text()
    assert not any(MARK in file.read_text() for file in others)


def test_how_many_there_are_is_not_said_where_the_code_is_ignored(root: Path) -> None:
    programs(root, 5)
    assert "XF508" not in rewrite("--ignore", "XF508", root).output
