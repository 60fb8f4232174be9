"""The name by which SDPA is called is bound when the call is made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import xformers.ops

from tests import oracle
from xf2sdpa.engine import rewrite_text

CALL = "    b, n, h, d = q.shape\n    out = xops.memory_efficient_attention(q, q, q)\n"
FORMS = {
    "imported later in the function": (
        f"def attend(q):\n{CALL}    import torch.nn.functional as F\n    return F.relu(out)\n"
    ),
    "imported in another arm": (
        "def attend(q):\n    if q.shape[0] > 100:\n        import torch.nn.functional as F\n        print(F)\n"
        f"{CALL}    return out\n"
    ),
    "something stands in": (
        "try:\n    import nothing_of_that_name\n    import torch.nn.functional as F\n"
        "except ImportError:\n    F = None\n\n"
        f"def attend(q):\n{CALL}    return out\n"
    ),
    "for type checkers": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch.nn.functional as F\n\n"
        f"def attend(q):\n{CALL}    return out\n"
    ),
    "under a condition": (
        "import os\nif os.environ.get('NO_SUCH_SWITCH'):\n    import torch.nn.functional as F\n\n"
        f"def attend(q):\n{CALL}    return out\n"
    ),
    "at the top": f"import torch.nn.functional as F\n\ndef attend(q):\n{CALL}    return F.relu(out)\n",
    "relied upon elsewhere": (
        "import importlib.util\nif importlib.util.find_spec('torch'):\n    import torch.nn.functional as F\n\n"
        f"def attend(q):\n{CALL}    return F.relu(out)\n"
    ),
}


def attended(text: str) -> torch.Tensor:
    scope: dict[str, Any] = {}
    exec(compile(text, "<form>", "exec"), scope)
    q = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return scope["attend"](q)


@pytest.mark.parametrize("name", FORMS)
def test_old_and_new_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = f"import xformers.ops as xops\n{FORMS[name]}"
    new = rewrite_text(old).new
    assert "xformers" not in new
    monkeypatch.setattr(xformers.ops, "memory_efficient_attention", oracle.memory_efficient_attention)
    torch.testing.assert_close(attended(new), attended(old))


@pytest.mark.parametrize("name", ["at the top", "relied upon elsewhere"])
def test_what_the_file_has_is_used(name: str) -> None:
    assert rewrite_text(f"import xformers.ops as xops\n{FORMS[name]}").new.count("import torch") == 1
