"""What every test shares: one thread a process (the tensors are tiny), quiet imports, Hypothesis' profile."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="xf2sdpa-state-")  # no journal of a test among the user's own

import pytest
from hypothesis import HealthCheck, Phase, settings

_STATE = os.environ["XDG_STATE_HOME"]
_number = itertools.count()

warnings.filterwarnings("ignore", module=r"xformers(\.|$)")

settings.register_profile(
    "xf2sdpa",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
settings.load_profile("xf2sdpa")


def pytest_unconfigure() -> None:
    """Remove the folder of this process, at its end."""
    shutil.rmtree(_STATE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_state() -> None:
    """A folder of journals for each test: a run that one test cuts off would be told by the next run of another."""
    os.environ["XDG_STATE_HOME"] = f"{_STATE}/{next(_number)}"
