"""How files come to use the names of the helper module; each project is run before and after."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest
import torch

from tests import oracle
from tests.helper.samples import same_without_xformers
from tests.helper.uses import NAMES, Use
from tests.helper.uses_of_values import VALUES
from tests.projects.harness import (
    fresh,
    rewrite,
    tensors,
    tree,
    write,
)

USES = [*NAMES, *VALUES]


@pytest.mark.parametrize("project", USES, ids=[use.name for use in USES])
def test_uses(project: Use, tmp_path: Path) -> None:
    write(tmp_path, project.files)
    same_without_xformers(tmp_path)
    once = tree(tmp_path)
    rewrite(tmp_path)
    assert tree(tmp_path) == once


def test_every_name_of_a_file_still_means_something(tmp_path: Path) -> None:
    """Type hints, defaults and `__all__` are looked at by no call; a name that is lost there is lost all the same."""
    for project in USES:
        root = write(tmp_path / project.name.replace(" ", "_"), project.files)
        rewrite(root)
        with fresh(root, oracle.absent):
            assert torch.isfinite(importlib.import_module("main").run(*tensors())[1]).all()
