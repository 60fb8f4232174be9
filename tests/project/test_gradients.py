"""Whether a project takes gradients, and whether it makes mask objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from xf2sdpa.project.gradients import names_mask_objects, takes_no_gradient

APP = "import model\n\nif __name__ == '__main__':\n    model.show()\n"


@pytest.mark.parametrize(
    ("files", "none"),
    [
        ({"app.py": APP}, True),
        ({"app.py": APP, "m.py": "y = x.eval()\n"}, True),
        ({"m.py": "def f(x):\n    return x\n"}, False),
        ({"app.py": APP, "m.py": "loss.backward()\n"}, False),
        ({"app.py": APP, "m.py": "import torch.optim as optim\n"}, False),
        ({"app.py": APP, "m.py": "g = torch.autograd.grad(y, x)\n"}, False),
        ({"app.py": APP, "m.py": "trainer = Trainer(model)\n"}, False),
        ({"app.py": APP, "m.py": "# finetune with LoRA\n"}, False),
    ],
)
def test_an_application_without_a_word_of_training(files: dict[str, str], none: bool, tmp_path: Path) -> None:
    assert takes_no_gradient(files, tmp_path) == none


def test_a_library_may_be_trained_by_others(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    assert not takes_no_gradient({"app.py": APP}, tmp_path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("bias = xops.LowerTriangularMask()", True),
        ("from xformers.ops.fmha import attn_bias", True),
        ("from xformers.ops.fmha.attn_bias import X", True),
        ("def f(bias: 'AttentionBias'): ...", True),
        ("mask = getattr(xops, name)()", True),
        ("fmha = importlib.import_module('xformers.ops.fmha')", True),
        ("mask = torch.zeros(3)", False),
    ],
)
def test_words_of_mask_objects(text: str, names: bool) -> None:
    assert names_mask_objects([text]) == names
