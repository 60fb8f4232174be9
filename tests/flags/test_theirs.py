"""What a program settles itself is left to it, in any spelling."""

from __future__ import annotations

import pytest

from xf2sdpa.flags import block, table
from xf2sdpa.flags.theirs import settings_in, that_count

TF32, BENCHMARK, LENGTHS = "tf32", "cudnn-benchmark", "avoid-recompile"

SPELLINGS = [
    ("torch.backends.cuda.matmul.allow_tf32 = True", TF32),
    ("torch.backends.cuda.matmul.allow_tf32 = args.tf32", TF32),
    ("torch.backends.cudnn.allow_tf32 = False", TF32),
    ("torch.set_float32_matmul_precision('medium')", TF32),
    ("from torch import set_float32_matmul_precision as p; p(x)", TF32),
    ("torch.backends.fp32_precision = 'ieee'", TF32),
    ("torch.backends.cuda.matmul.fp32_precision = 'tf32'", TF32),
    ("torch.backends.cudnn.conv.fp32_precision: str = 'tf32'", TF32),
    ("import torch.backends.cuda as c; c.matmul.allow_tf32 = True", TF32),
    ("os.environ['NVIDIA_TF32_OVERRIDE'] = '0'", TF32),
    ("os.environ.setdefault('TORCH_ALLOW_TF32_CUBLAS_OVERRIDE', '1')", TF32),
    ("args = TrainingArguments(tf32=True)", TF32),
    ("setattr(torch.backends.cuda.matmul, 'allow_tf32', True)", TF32),
    ("a, torch.backends.cuda.matmul.allow_tf32 = 1, True", TF32),
    ("torch.backends.cudnn.benchmark = False", BENCHMARK),
    ("cudnn.benchmark = True", BENCHMARK),
    ("import torch.backends.cudnn as c; c.benchmark = True", BENCHMARK),
    ("torch.backends.cudnn.deterministic = True", BENCHMARK),
    ("torch.backends.cudnn.enabled = False", BENCHMARK),
    ("torch.use_deterministic_algorithms(True)", BENCHMARK),
    ("setattr(torch.backends.cudnn, 'benchmark', True)", BENCHMARK),
    ("trainer = pl.Trainer(benchmark=False)", BENCHMARK),
    ("trainer = pl.Trainer(deterministic='warn')", BENCHMARK),
    ("with torch.backends.cudnn.flags(benchmark=True): pass", BENCHMARK),
    ("os.environ['TORCH_CUDNN_SDPA_AVOID_RECOMPILE'] = '1'", LENGTHS),
    ("torch.backends.cuda.enable_cudnn_sdp(False)", LENGTHS),
    ("with sdpa_kernel([SDPBackend.MATH]): pass", LENGTHS),
    ("torch.nn.attention.activate_flash_attention_impl('FA3')", "fa4"),
]
TOGETHER = dict.fromkeys((code for code, _ in SPELLINGS if "sdp" in code), ("nan-guard", "fa4"))
"""Whoever chooses kernels, settles all flags that would."""
NOT_THEM = [
    "# torch.backends.cudnn.benchmark = True",
    "print('torch.backends.cudnn.benchmark = True')",
    "torch.backends.cudnn.deterministic = False",
    "torch.use_deterministic_algorithms(False)",
    "x = torch.backends.cudnn.benchmark",
    "self.benchmark = True",
    "torch.backends.cuda.enable_flash_sdp(True)",
    "parser.add_argument('--allow_tf32', action='store_true')",
    "benchmark = True",
    "run(benchmark=True)",
]


@pytest.mark.parametrize(("code", "flag"), SPELLINGS)
def test_a_spelling_is_known(code: str, flag: str) -> None:
    found = settings_in(f"import os, torch\n\nif x:\n    {code}\n")
    assert {setting.flag for setting in found} == {flag, *TOGETHER.get(code, ())}
    assert {setting.line for setting in found} == {4}


@pytest.mark.parametrize("code", NOT_THEM)
def test_what_settles_nothing(code: str) -> None:
    assert settings_in(f"{code}\n") == ()


def test_full_determinism_settles_both() -> None:
    assert {found.flag for found in settings_in("from transformers import *\nenable_full_determinism(0)\n")} == {
        TF32,
        BENCHMARK,
    }


def test_a_block_of_ours_is_no_setting_of_theirs() -> None:
    text = block.with_flags("import torch\n\ntorch.backends.cudnn.benchmark = False\n", table.chosen(["h200"]))
    (found,) = settings_in(text)
    assert (found.flag, found.code) == (BENCHMARK, "torch.backends.cudnn.benchmark = False")
    assert text.splitlines()[found.line - 1] == found.code


SEED = "import torch\ndef set_seed(n):\n    torch.backends.cudnn.deterministic = True\n"


def test_a_function_of_another_file_counts_if_somebody_names_it() -> None:
    assert that_count("t.py", {"t.py": "import u\n", "u.py": SEED}) == {}
    found = that_count("t.py", {"t.py": "import u\nu.set_seed(1)\n", "u.py": SEED})
    assert found[BENCHMARK][0] == "u.py"
    assert BENCHMARK in that_count("t.py", {"t.py": SEED})
    in_class = SEED.replace("def set_seed", "class Setup:\n  def run").replace("    torch", "      torch")
    assert that_count("t.py", {"t.py": "import u\nx.run()\n", "u.py": in_class}) == {}
    assert BENCHMARK in that_count("t.py", {"t.py": "from u import Setup\n", "u.py": in_class})
    assert BENCHMARK in that_count("t.py", {"t.py": "", "u.py": SEED.replace("def set_seed(n)", "if 1")})


def test_a_copy_of_our_helper_settles_nothing_and_names_no_function() -> None:
    kernel = "def attend(q):\n    with sdpa_kernel([B.MATH]):\n        return set_seed(q)\n"
    helper = f"# xf2sdpa-copy: 0123456789abcdef\n{kernel}"
    texts = {"t.py": "from _attention_compat import attend\nattend(1)\n", "u.py": SEED}
    assert that_count("t.py", {**texts, "_attention_compat.py": helper}) == {}
    assert LENGTHS in that_count("t.py", {**texts, "theirs.py": kernel})


def test_the_programs_own_place_is_named_first() -> None:
    code = "import torch\ntorch.backends.cudnn.benchmark = False\n"
    assert that_count("t.py", {"a.py": code, "t.py": "\n" + code})[BENCHMARK][0] == "t.py"
