"""The mutation table holds: the right rewrite agrees, the wrong one is caught by the check that its row names."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from tests.verify import mutations
from tests.verify.mutation import ALL, Mutation
from tests.verify.mutation_table import OLD, PLAIN_NEW, TABLE, sdpa
from xf2sdpa.judging.old_path import find_old_path

ROWS = [pytest.param(mutation, id=mutation.name) for mutation in TABLE]
ASKED_FOR = """transposes missing on the way in|transpose missing on the way out|transpose of the key missing|
transpose(1, 2) on three dimensions|unsqueezed on the wrong axis|scale dropped|scale by K in place of its root|
causal corner: bottom right for top left|causal corner: top left for bottom right|window one too wide on the left|
window one too narrow on the right|causal dropped|bool mask inverted|sign of the mask flipped|
mask of the batch laid onto the heads|merged mask taken apart in the wrong order|mask dropped|mask transposed|
dropout dropped|dropout added|dtype changed by autocast|upcast lost|key and value swapped|query and key swapped|
block boundary shifted by one|causal corner within blocks|length of padded keys off by one|
grouped heads in the wrong order|closed row, bool for float|result strided where it is viewed|NaN gradient, simulated|
NaN gradient of cuDNN|key detached|bias detached|under no_grad|reshape in place of the last transpose|computed in half|
sequence first taken for batch first|causal with a bias: causal dropped"""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("mutation", ROWS)
def test_caught_on_the_cpu(mutation: Mutation) -> None:
    if not mutation.cpu:
        pytest.skip("needs a kernel that only a GPU has")
    path = find_old_path()
    for dtype in mutation.dtypes[-2:]:  # a half one and float32, where the row has both
        outcome = mutations.run_row(mutation, dtype, "cpu", path)
        assert outcome.compared
        assert not outcome.alarm, (dtype, outcome.alarm)
        assert mutation.check in outcome.caught_by, (dtype, outcome.caught_by)


@pytest.mark.gpu
@pytest.mark.parametrize("mutation", ROWS)
def test_caught_on_a_gpu(mutation: Mutation) -> None:
    path = find_old_path()
    if path.version is None:
        pytest.skip(path.description)
    if not mutation.shown("cuda"):
        pytest.skip(mutation.equal_on_gpu)
    for dtype in mutation.shown("cuda"):
        outcome = mutations.run_row(mutation, dtype, "cuda", path)
        assert outcome.holds, (dtype, outcome.alarm, outcome.caught_by, outcome.right.checks)


def test_the_table_is_as_long_as_was_asked_for() -> None:
    names = [mutation.name for mutation in TABLE]
    assert len(names) == len(set(names))
    assert set(ASKED_FOR.replace("\n", "").split("|")) <= set(names)
    assert {mutation.check for mutation in TABLE}.isdisjoint({"runs", "shape"})
    assert len([mutation for mutation in TABLE if mutation.cpu]) >= 30


def test_a_table_that_does_not_hold_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless = Mutation("nothing wrong", OLD, PLAIN_NEW, PLAIN_NEW, dtypes=("float32",))
    alarming = Mutation("all wrong", OLD, sdpa("scale=1.0"), "q", dtypes=("float32",))
    monkeypatch.setattr(mutations, "TABLE", (harmless, alarming))
    assert mutations.main([]) == 1
    told = capsys.readouterr().out
    assert "FAILS  nothing" in told
    assert "false alarm: output" in told
    assert "2 wrong rewrites, 2 rows, 2 not as they should be" in told


class _DyingProcess:
    """The first process dies in its second row, the next one finishes."""

    started: ClassVar[list[int]] = []

    def __init__(self, command: list[str], **_: object) -> None:
        first, lines = (command[command.index(name) + 1] for name in ("--from-row", "--lines"))
        self.started.append(int(first))
        count = 1 if len(self.started) == 1 else 3 - int(first)
        row = json.dumps({"name": "x", "dtype": "float16", "holds": True, "caught_by": ["output"], "false_alarm": []})
        Path(lines).write_text((row + "\n") * count)

    def communicate(self) -> tuple[None, str]:
        return None, "Traceback\ntorch.AcceleratorError: CUDA error: misaligned address"


def test_a_kernel_that_crashes_costs_its_own_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations.subprocess, "Popen", _DyingProcess)
    todo = [(mutation, "float16") for mutation in TABLE[:3]]
    rows = list(mutations._in_processes(todo, argparse.Namespace(device="cuda", only="")))
    assert _DyingProcess.started == [0, 2]
    assert [row["holds"] for row in rows] == [True, False, True]
    assert rows[1]["name"] == TABLE[1].name
    assert rows[1]["false_alarm"] == ["the process died: torch.AcceleratorError: CUDA error: misaligned address"]


def test_rows_of_another_process() -> None:
    todo = mutations.jobs("cpu", "dropout added")
    rows = list(mutations._in_processes(todo, argparse.Namespace(device="cpu", only="dropout added")))
    assert [(row["dtype"], row["holds"]) for row in rows] == [(dtype, True) for dtype in ALL]
