"""Projects of several files, executed before and after: flags, modules and functions that one file hands to another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import oracle
from tests.projects.guards import BARE, FULL, USE, Guard, cases, check
from tests.projects.harness import EAGER, assert_equal, execute, imports_of_xformers, installed, rewrite, tree, write

IN_TWO_FILES = [
    Guard(
        "a flag read in another file",
        {
            "attention.py": """\
try:
    import xformers.ops as xops

    XFORMERS_IS_AVAILBLE = True
except ImportError:
    XFORMERS_IS_AVAILBLE = False


def attend(q, k, v, bias=None):
    b, n, h, d = q.shape
    return CALL[xops.memory_efficient_attention]
""",
            "main.py": """\
from attention import XFORMERS_IS_AVAILBLE, attend
from eager import eager


def run(q, k, v):
    return ("fast", attend(q, k, v)) if XFORMERS_IS_AVAILBLE else ("eager", eager(q, k, v))
""",
        },
    ),
    Guard(
        "a flag of a file without a call",
        {
            "capabilities.py": """\
try:
    import xformers

    AVAILABLE = True
except ImportError:
    AVAILABLE = False
""",
            "main.py": """\
from capabilities import AVAILABLE
from eager import eager

if AVAILABLE:
    import xformers.ops as xops
"""
            + USE.format(condition="AVAILABLE", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a flag without a call, by its module",
        {
            "capabilities.py": """\
try:
    import xformers.ops

    quick = True
except ImportError:
    quick = False
""",
            "main.py": """\
import capabilities
from eager import eager

if capabilities.quick:
    from xformers.ops import memory_efficient_attention
"""
            + USE.format(condition="capabilities.quick", call=BARE),
        },
    ),
    Guard(
        "a function of another file",
        {
            "utils/__init__.py": "from .import_utils import is_xformers_available\n",
            "utils/import_utils.py": """\
import importlib.metadata as importlib_metadata
import importlib.util

_xformers_available = importlib.util.find_spec("xformers") is not None
try:
    _xformers_version = importlib_metadata.version("xformers")
    if _xformers_version.startswith("0.0.1."):
        raise ValueError("this version is too old")
except importlib_metadata.PackageNotFoundError:
    _xformers_available = False


def is_xformers_available():
    return _xformers_available
""",
            "main.py": """\
from eager import eager
from utils import is_xformers_available

if is_xformers_available():
    import xformers
    import xformers.ops
else:
    xformers = None
"""
            + USE.format(condition="xformers is not None", call=FULL),
        },
    ),
    Guard(
        "a function of another file that tries",
        {
            "checks.py": """\
def fast_attention_works():
    try:
        import xformers.ops
    except ImportError:
        return False
    return True
""",
            "main.py": """\
from checks import fast_attention_works
from eager import eager

FAST = fast_attention_works()
if FAST:
    import xformers.ops as xops
"""
            + USE.format(condition="FAST", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a function of another file, called where it matters",
        {
            "checks.py": """\
import importlib.util


def has_fast_attention():
    return importlib.util.find_spec("xformers") is not None
""",
            "fast.py": """\
def attend(q, k, v, bias=None):
    import xformers.ops as xops

    b, n, h, d = q.shape
    return CALL[xops.memory_efficient_attention]
""",
            "main.py": """\
from checks import has_fast_attention
from eager import eager


def run(q, k, v):
    if has_fast_attention():
        from fast import attend

        return "fast", attend(q, k, v)
    return "eager", eager(q, k, v)
""",
        },
    ),
    Guard(
        "a flag handed on twice",
        {
            "pkg/__init__.py": "",
            "pkg/one.py": """\
try:
    from xformers.ops import memory_efficient_attention
    FAST = True
except ImportError:
    FAST = False
    memory_efficient_attention = None
""",
            "pkg/two.py": "from .one import FAST, memory_efficient_attention\n",
            "main.py": "from eager import eager\nfrom pkg.two import FAST, memory_efficient_attention\n"
            + USE.format(condition="FAST", call=BARE),
        },
    ),
    Guard(
        "the module handed on",
        {
            "shared.py": """\
try:
    import xformers.ops as xops
except ImportError:
    xops = None
""",
            "main.py": "from eager import eager\nfrom shared import xops\n"
            + USE.format(condition="xops is not None", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a flag taken with a star",
        {
            "shared.py": """\
try:
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False
""",
            "main.py": "from eager import eager\nfrom shared import *\n"
            + USE.format(condition="FAST", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a switch board of options",
        {
            "options.py": """\
XFORMERS_IS_AVAILABLE = False
XFORMERS_WANTED = True
try:
    import xformers
    import xformers.ops

    XFORMERS_IS_AVAILABLE = True
    try:
        XFORMERS_VERSION = xformers.version.__version__
        print("xformers version:", XFORMERS_VERSION)
        if XFORMERS_VERSION.startswith("0.0.18"):
            XFORMERS_WANTED = False
    except AttributeError:
        pass
except ImportError:
    XFORMERS_IS_AVAILABLE = False


def xformers_enabled():
    return XFORMERS_IS_AVAILABLE and XFORMERS_WANTED
""",
            "main.py": """\
import options
from eager import eager

if options.xformers_enabled():
    import xformers
    import xformers.ops


def fast(q, k, v, bias=None):
    b, n, h, d = q.shape
    return "fast", CALL[xformers.ops.memory_efficient_attention]


def slow(q, k, v):
    return "eager", eager(q, k, v)


run = slow
if options.xformers_enabled():
    run = fast
""",
        },
    ),
]


@pytest.mark.parametrize(("guard", "style"), cases(*IN_TWO_FILES))
def test_the_path_stays(guard: Guard, style: str, tmp_path: Path) -> None:
    check(guard, style, tmp_path)


PIPELINE = """\
import fake
import torch

try:
    import xformers
    import xformers.ops

    xformers_available = True
except Exception:
    xformers_available = False


class Processor:
    def __call__(self, attn, query, key, value, mask=None):
        mask = attn.prepare_attention_mask(mask, key.shape[1], key.shape[0])
        query, key, value = (attn.head_to_batch_dim(x) for x in (query, key, value))
        query = attn.head_to_batch_dim(query)
        key = attn.head_to_batch_dim(key)
        value = attn.head_to_batch_dim(value)
        if not xformers_available:
            return "eager", query
        first = self._attend(query, key, value, mask)
        second = self._attend(query, key, value, None)
        return "fast", first + second

    def _attend(self, query, key, value, attention_mask):
        return xformers.ops.memory_efficient_attention(query, key, value, attn_bias=attention_mask)


def run(q, k, v):
    q, k, v = (x.flatten(2) for x in (q, k, v))
    mask = torch.linspace(-1, 1, 2 * 5 * 5, dtype=q.dtype).view(2, 5, 5)
    return Processor()(fake.Attention(), q, k, v, mask)
"""
FAKE = """\
class Attention:
    def head_to_batch_dim(self, x):
        return x

    def prepare_attention_mask(self, mask, length, batch):
        return mask
"""


def test_a_file_that_is_loaded_by_itself_gets_no_helper(tmp_path: Path) -> None:
    """diffusers loads community pipelines one by one: what its own methods show must do."""
    folder = tmp_path / "examples" / "community"
    write(folder, {"main.py": PIPELINE, "fake.py": FAKE})
    before = execute(folder, installed)
    report = rewrite(tmp_path).output
    text = (folder / "main.py").read_text()
    assert "attn_mask=None if attention_mask is None else attention_mask.unsqueeze(1)" in text, report
    assert "nothing but this file calls _attend" in report
    assert sorted(path.name for path in folder.glob("*.py")) == ["fake.py", "main.py"]
    assert not imports_of_xformers(tmp_path)
    after = execute(folder, oracle.absent)
    assert after.sdpa_calls == 2
    assert_equal(before, after)


def test_a_method_that_others_could_call_is_checked(tmp_path: Path) -> None:
    """The same file elsewhere: another file may call the method, so the new text looks at what comes."""
    write(tmp_path, {"main.py": PIPELINE, "fake.py": FAKE})
    assert "every call in this project passes 3 dimensions to" in rewrite(tmp_path).output
    assert ".ndim != 3:\n" in (tmp_path / "main.py").read_text()


SCRIPT = """\
from diffusers.utils.import_utils import is_xformers_available
from packaging import version


def train(unet, args):
    if args.enable_xformers_memory_efficient_attention:
        if is_xformers_available():
            import xformers

            xformers_version = version.parse(xformers.__version__)
            if xformers_version == version.parse("0.0.16"):
                print("xFormers 0.0.16 cannot be used for training in some GPUs.")
            unet.enable_xformers_memory_efficient_attention()
        else:
            raise ValueError("xformers is not available")
"""
LAYER = """\
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""


def test_another_library_s_switch_stays_its_own(tmp_path: Path) -> None:
    """Of a training script only the question about an old release goes; whether xformers is there diffusers asks."""
    write(tmp_path, {"train.py": SCRIPT, "layer.py": LAYER})
    rewrite(tmp_path)
    text = tree(tmp_path)["train.py"]
    assert not imports_of_xformers(tmp_path)
    assert "0.0.16" not in text
    assert "if is_xformers_available():\n            unet.enable_xformers_memory_efficient_attention()" in text
    assert 'raise ValueError("xformers is not available")' in text


def test_a_project_without_a_call_keeps_its_scripts(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": SCRIPT})
    assert "XF401" in rewrite(tmp_path).output
    assert tree(tmp_path)["train.py"] == SCRIPT


def test_questions_stay_where_xformers_is_needed(tmp_path: Path) -> None:
    text = (
        "import xformers\nimport xformers.ops\n\nOLD = xformers.__version__ < '0.0.20'\n"
        "print(xformers.info.describe(), OLD)\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
        "    return xformers.ops.memory_efficient_attention(q, k, v)\n"
    )
    write(tmp_path, {"main.py": text})
    report = rewrite(tmp_path).output
    assert "OLD = xformers.__version__ < '0.0.20'" in tree(tmp_path)["main.py"]
    assert "XF401" in report


def test_a_version_that_is_only_shown_is_what_it_is_without_xformers(tmp_path: Path) -> None:
    """The flag is True now: behind it, nothing may import xformers."""
    files = {
        "flags.py": "try:\n    import xformers\n\n    xformers_available = True\nexcept ImportError:\n"
        "    xformers_available = False\n",
        "main.py": "import flags\nfrom layer import attend\n\n\ndef about():\n    if flags.xformers_available:\n"
        '        import xformers\n        release = xformers.__version__\n    else:\n        release = "N/A"\n'
        '    earlier = "none"\n    if flags.xformers_available:\n        import xformers\n\n'
        "        earlier = xformers.__version__\n    return release, earlier\n\n\n"
        "def run(q, k, v):\n    about()\n"
        '    return ("fast" if flags.xformers_available else "eager"), attend(q, k, v)\n',
        "layer.py": LAYER,
    }
    write(tmp_path, files)
    before = execute(tmp_path, installed)
    report = rewrite(tmp_path).output
    assert not imports_of_xformers(tmp_path), report
    assert_equal(before, execute(tmp_path, oracle.absent))
    assert tree(tmp_path)["main.py"].count('"N/A"') == 1


@pytest.mark.parametrize("value", [True, False])
def test_a_wish_of_another_file_keeps_its_say(tmp_path: Path, value: bool) -> None:
    files = {
        "options.py": f"XFORMERS_ENABLED = {value}\n",
        "eager.py": EAGER,
        "main.py": "from eager import eager\nfrom options import XFORMERS_ENABLED\n\nif XFORMERS_ENABLED:\n"
        "    import xformers.ops as xops\n\n    FAST = True\nelse:\n    FAST = False\n"
        + USE.format(condition="FAST", call="x").replace("CALL[x]", "xops.memory_efficient_attention(q, k, v)"),
    }
    write(tmp_path, files)
    before = execute(tmp_path, installed)
    assert before.path == ("fast" if value else "eager")
    rewrite(tmp_path)
    assert not imports_of_xformers(tmp_path)
    assert_equal(before, execute(tmp_path, oracle.absent))


def test_a_name_read_through_its_module_stays_bound(tmp_path: Path) -> None:
    """`shared.xops` in another file is the module; both files are rewritten, or neither would run."""
    files = {
        "shared.py": "import xformers.ops as xops\n",
        "main.py": "import shared\n\n\ndef run(q, k, v):\n    b, n, h, d = q.shape\n"
        '    return "fast", shared.xops.memory_efficient_attention(q, k, v)\n',
    }
    write(tmp_path, files)
    before = execute(tmp_path, installed)
    rewrite(tmp_path)
    after = execute(tmp_path, oracle.absent)
    assert after.sdpa_calls == 1
    assert_equal(before, after)
