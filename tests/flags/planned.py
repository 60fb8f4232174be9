"""What the tests of planned flags share: a project whose one program is `train.py`, and the command on it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from tests.flags.programs import NETS, PROGRAMS
from xf2sdpa.cli import cli

MARK = "# xf2sdpa: H200 flags"
TRAIN = PROGRAMS["main guard"][1]
TF32, BENCHMARK = "set_float32_matmul_precision", "cudnn.benchmark"
WITHOUT_CONVOLUTION = NETS["nets/model.py"].replace("nn.Conv1d(5, 5, 1)", "nn.Identity()")
HALF = TRAIN.replace("    record(Net()(", "    net = Net().half().eval()\n    record(net(")


def rewrite(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["rewrite", "--jobs", "1", *map(str, arguments)])


def train(root: Path) -> str:
    """The program as it stands."""
    return (root / "train.py").read_text()
