"""Describes the machine and the settings of a run, without changing anything."""

from __future__ import annotations

import datetime
import platform
import subprocess
import warnings
from pathlib import Path
from typing import Any, Protocol

import torch

from xf2sdpa.timing.model import Environment

_BACKENDS: Any = torch.backends
"""As Any, since parts of it are not annotated."""


class OldPath(Protocol):
    """The part of `judging.old_path.OldPath` that is needed here."""

    @property
    def version(self) -> str | None:
        """xformers' version; None if the plain reference is used in its place."""

    @property
    def description(self) -> str:
        """What computes the old side, and why if it is not xformers."""


def environment(command: str, seed: int, old_path: OldPath, device: str | None = None) -> Environment:
    """The environment of a run.

    Args:
        command: the command line as the user typed it.
        seed: the seed of the inputs.
        old_path: what computes the old side: the real xformers or the plain reference.
        device: `cpu` for a run that does not use the GPU; by default the current GPU, if there is one.
    """
    on_gpu = torch.cuda.is_available() and device != "cpu"
    capability = ".".join(map(str, torch.cuda.get_device_capability())) if on_gpu else None
    return Environment(
        command=command,
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seed=seed,
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=cudnn_version(),
        device=torch.cuda.get_device_name() if on_gpu else "cpu",
        capability=capability,
        driver=driver_version() if on_gpu else None,
        xformers=old_path.version,
        old_path=old_path.description,
        precision=precision(),
    )


def cudnn_version() -> str | None:
    """`9.19.0`, or None without cuDNN."""
    number = _BACKENDS.cudnn.version() if _BACKENDS.cudnn.is_available() else None
    if not number:
        return None
    thousand = 10_000 if number >= 90_000 else 1_000  # 91900 is 9.19.0, 8907 is 8.9.7
    return f"{number // thousand}.{number % thousand // 100}.{number % 100}"


def driver_version() -> str | None:
    """The NVIDIA driver's version from `nvidia-smi`, else from the kernel module; None if neither gives it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        said = []
    if said:
        return said[0]
    module = Path("/proc/driver/nvidia/version")
    words = module.read_text().split() if module.is_file() else []
    return next((word for word in words if word[:1].isdigit() and "." in word), None)


def precision() -> str:
    """The precision of float32 products and convolutions, and whether `cudnn.benchmark` is on, as one line.

    Since 2.9, torch has two APIs for the precision. Reading the old one can raise after the new one was used; reading
    the new one never raises, so it is read where it exists.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading the old API is deprecated
        matmul, convolution = _matmul(), _convolution()
    benchmark = _switch(torch.backends.cudnn.benchmark)
    return f"float32 matmul {matmul}; cuDNN convolution {convolution}; cudnn.benchmark {benchmark}"


def _matmul() -> str:
    setting = getattr(torch.backends.cuda.matmul, "fp32_precision", None) if _has_new_api() else None
    if setting is not None:
        return _spelled(setting)
    return f"{torch.get_float32_matmul_precision()}, TF32 {_switch(torch.backends.cuda.matmul.allow_tf32)}"


def _convolution() -> str:
    if _has_new_api():
        return _spelled(_BACKENDS.cudnn.conv.fp32_precision)
    return f"TF32 {_switch(torch.backends.cudnn.allow_tf32)}"


def _has_new_api() -> bool:
    return hasattr(torch.backends, "fp32_precision")


def _spelled(setting: str) -> str:
    """A setting of the new API; `none` stands for `torch.backends.fp32_precision`, which is IEEE by default."""
    if setting != "none":
        return setting
    outer = _BACKENDS.fp32_precision
    return "ieee" if outer == "none" else str(outer)


def _switch(is_on: bool) -> str:
    return "on" if is_on else "off"
