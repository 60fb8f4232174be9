"""Fixtures and helper module agree with the old path; all of it by `python -m tests.verify.no_false_alarm`."""

from __future__ import annotations

import pytest
import torch

from tests.verify import no_false_alarm
from tests.verify.no_false_alarm import DTYPES, Run, Seen
from xf2sdpa.judging.model import Case, Check

HALF = (torch.bfloat16,)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def assert_quiet(seen: list[Seen]) -> None:
    assert seen
    assert not [(one.name, one.dtype, one.alarms) for one in seen if one.alarms]
    assert not [(one.name, one.refused) for one in seen if one.refused]


@pytest.mark.filterwarnings("ignore")
def test_a_sample_on_the_cpu() -> None:
    run = Run("cpu", exact=True)
    assert_quiet(list(no_false_alarm.fixtures(run, HALF, every=4)))
    assert_quiet(list(no_false_alarm.helper(run, DTYPES, 54)))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exact", [False, True], ids=["default", "exact"])
def test_on_a_gpu(exact: bool) -> None:
    run = Run("cuda", exact)
    if run.path.version is None:
        pytest.skip(run.path.description)
    seen = [*no_false_alarm.fixtures(run, DTYPES), *no_false_alarm.helper(run, DTYPES, 180)]
    assert not [(one.name, one.dtype, one.alarms) for one in seen if one.alarms]
    assert sum(one.case.compared for one in seen) > len(seen) / 2
    assert any(one.exact for one in seen) == exact


def test_an_alarm_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(no_false_alarm.compat, "memory_efficient_attention", lambda query, *_, **__: query + 1)
    table = no_false_alarm._table("helper", no_false_alarm.helper(Run("cpu", exact=False), DTYPES, 3))
    assert len(table["alarms"]) == table["compared"] == 3
    assert "ALARM none #0 float16" in capsys.readouterr().out


def _case(*, ok: bool, compared: bool = True) -> Case:
    checks = (Check("gradient of query", ok, new_error=0.9, limit=0.1),) if compared else ()
    return Case("2×5×3×8", "float16", checks=checks)


def test_only_what_agrees_without_cudnn_is_cudnns() -> None:
    wrong = _case(ok=False)
    assert Seen("a", "float16", wrong).alarms
    assert Seen("a", "float16", wrong, without_cudnn=wrong).alarms
    assert Seen("a", "float16", wrong, without_cudnn=_case(ok=True, compared=False)).alarms
    assert not Seen("a", "float16", wrong, without_cudnn=_case(ok=True)).alarms
