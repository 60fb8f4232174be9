"""Where a run was made."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

from xf2sdpa import timing
from xf2sdpa.timing import machine

REFERENCE = SimpleNamespace(version=None, description="reference: no xformers")


def test_what_a_reader_needs_to_make_it_again():
    seen = timing.environment("xf2sdpa verify src", 3, REFERENCE)
    assert (seen.command, seen.seed, seen.torch) == ("xf2sdpa verify src", 3, torch.__version__)
    assert seen.python == ".".join(map(str, sys.version_info[:3]))
    assert abs(datetime.datetime.fromisoformat(seen.date) - datetime.datetime.now(datetime.timezone.utc)).seconds < 60
    assert seen.is_reference
    assert seen.old_path == "reference: no xformers"


def test_the_cpu_has_no_driver_even_where_there_is_a_gpu():
    seen = timing.environment("c", 0, REFERENCE, device="cpu")
    assert (seen.device, seen.capability, seen.driver) == ("cpu", None, None)


@pytest.mark.parametrize(("number", "text"), [(91900, "9.19.0"), (91002, "9.10.2"), (8907, "8.9.7"), (None, None)])
def test_cudnn(monkeypatch, number, text):
    fake = SimpleNamespace(cudnn=SimpleNamespace(is_available=lambda: number is not None, version=lambda: number))
    monkeypatch.setattr(machine, "_BACKENDS", fake)
    assert machine.cudnn_version() == text


def test_the_driver_by_nvidia_smi(monkeypatch):
    monkeypatch.setattr(machine.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout="580.159.04\n580.159.04\n"))
    assert machine.driver_version() == "580.159.04"


def test_the_driver_without_nvidia_smi(monkeypatch, tmp_path):
    def absent(*arguments, **options):
        raise FileNotFoundError

    text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.03  Release Build\nGCC version: 12.2.0\n"
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(machine.subprocess, "run", absent)
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "version")
    assert machine.driver_version() == "580.159.03"
    (tmp_path / "version").unlink()
    assert machine.driver_version() is None


SETTINGS = [
    ("", r"float32 matmul (ieee|highest).*cudnn.benchmark off"),
    ('torch.set_float32_matmul_precision("high"); torch.backends.cudnn.benchmark = True', r"(tf32|high).*benchmark on"),
    ("torch.backends.cuda.matmul.allow_tf32 = True", r"float32 matmul (tf32|high)"),
]
NEW_SETTINGS = [
    ('torch.backends.cuda.matmul.fp32_precision = "tf32"', r"float32 matmul tf32"),
    ('torch.backends.fp32_precision = "tf32"', r"float32 matmul tf32"),
]
PROGRAM = """
import os
import sys
import warnings
import torch
from xf2sdpa.timing import machine
for setting in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork():
        _, status = os.wait()
        assert status == 0, setting
    else:
        exec(setting)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            print(machine.precision(), flush=True)
        os._exit(0)
"""


def test_precision_is_read_under_both_apis():
    """Each in a process of its own: mixing the APIs leaves a state in which reading the old one raises."""
    settings = SETTINGS + (NEW_SETTINGS if hasattr(torch.backends, "fp32_precision") else [])
    command = [sys.executable, "-c", PROGRAM, *(setting for setting, _ in settings)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for told, (setting, expected) in zip(ran.stdout.splitlines(), settings, strict=True):
        assert re.search(expected, told), (setting, told)


def test_the_old_api_is_read_where_there_is_no_new_one(monkeypatch):
    monkeypatch.setattr(machine, "_has_new_api", lambda: False)
    assert "TF32 off" in machine.precision()


def test_names_are_imported_when_used():
    program = "import sys; import xf2sdpa.timing, xf2sdpa.timing.model; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = timing.nothing


def test_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timing.environment("c", 0, REFERENCE)
