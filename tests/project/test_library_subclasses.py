"""Classes of a project that are diffusers' but for what the project adds."""

from __future__ import annotations

import pytest

from xf2sdpa.project.files import Project
from xf2sdpa.project.library_subclasses import has_own_switches, subclasses_in

BASE = "from diffusers import DiffusionPipeline\n\n\nclass Pipe(DiffusionPipeline):\n    pass\n"
MORE = "\n\nclass More(Pipe):\n    pass\n"


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ({"pk/a.py": BASE, "run.py": "from pk.a import Pipe\n"}, {"pk.a.Pipe"}),
        ({"pk/a.py": BASE, "pk/run.py": "from .a import Pipe as P\n"}, {".a.Pipe"}),
        ({"pk/a.py": BASE, "pk/__init__.py": "from .a import Pipe\n", "run.py": "from pk import Pipe\n"}, {"pk.Pipe"}),
        (
            {"pk/a.py": BASE, "pk/b.py": f"from .a import Pipe\n{MORE}", "run.py": "from pk.b import More\n"},
            {"pk.b.More"},
        ),
        ({"pk/a.py": "class Pipe:\n    pass\n", "run.py": "from pk.a import Pipe\n"}, set()),
        ({"pk/a.py": f"from torch import Pipe\n{MORE}", "run.py": "from pk.a import More\n"}, set()),
        ({"run.py": "from diffusers import DiffusionPipeline\n"}, set()),
        ({"pk/a.py": "class Pipe(\n", "run.py": "from pk.a import Pipe\n"}, set()),
    ],
)  # fmt: skip
def test_subclasses(texts: dict[str, str], found: set[str]) -> None:
    project = Project(texts, {"pk/__init__.py": "", **texts})
    runner = next(file for file in texts if file.endswith("run.py"))
    assert subclasses_in(project, runner) == found


def test_own_switches() -> None:
    assert has_own_switches(["x = 1\n", "    def set_use_memory_efficient_attention_xformers(self, valid):\n"])
    assert has_own_switches(["self._use_memory_efficient_attention_xformers = False\n"])
    assert has_own_switches(["Attention._memory_efficient_attention_xformers = attend\n"])
    assert has_own_switches(["setattr(unet, 'enable_xformers_memory_efficient_attention', fast)\n"])
    assert not has_own_switches(["def _memory_efficient_attention_xformers(module, q, k, v):\n"])
    assert not has_own_switches(["unet.enable_xformers_memory_efficient_attention()\n", BASE])
