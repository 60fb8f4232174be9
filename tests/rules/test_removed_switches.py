"""Switches of diffusers to xformers go with what stands around them; a project's own stay.

Each program is run before, with a diffusers that wants xformers and an xformers that is there, and after, without it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write
from tests.rules.common import examples_hold
from xf2sdpa.model import FindingKind
from xf2sdpa.rewrite.engine import rewrite_text

DIFFUSERS = """\
import importlib.util

LOG = []


class Model:
    def __init__(self, *parts, **more):
        self.config = {}
        self.kind = "sdpa"

    @classmethod
    def from_pretrained(cls, path, **more):
        return cls()

    def to(self, *where):
        return self

    def enable_xformers_memory_efficient_attention(self, attention_op=None):
        if importlib.util.find_spec("xformers") is None:
            raise ModuleNotFoundError("xformers")
        LOG.append("xformers")

    def set_use_memory_efficient_attention_xformers(self, on, attention_op=None):
        if on:
            self.enable_xformers_memory_efficient_attention()

    def enable_attention_slicing(self):
        LOG.append("slices")

    def set_attention_backend(self, name):
        if name == "xformers":
            self.enable_xformers_memory_efficient_attention()


class UNet2DConditionModel(Model):
    pass


class AutoencoderKL(Model):
    pass


class DiffusionPipeline(Model):
    def __init__(self, *parts, **more):
        super().__init__()
        self.unet, self.vae, self.transformer = UNet2DConditionModel(), AutoencoderKL(), Model()
"""
UTILS = """\
import importlib.util


def is_xformers_available():
    return importlib.util.find_spec("xformers") is not None
"""
HEAD = """\
import logging

from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel

logger = logging.getLogger(__name__)


def main(args, accelerator):
    unet = UNet2DConditionModel.from_pretrained("a")
    pipe = DiffusionPipeline.from_pretrained("a", unet=unet).to("cuda")
"""
RUN = """

class Args:
    fast = True
    slow = False


class Accelerator:
    def prepare(self, *parts):
        return parts if len(parts) > 1 else parts[0]

    def unwrap_model(self, model):
        return model


import diffusers

main(Args(), Accelerator())
print([word for word in diffusers.LOG if word != "xformers"])
"""
QUESTION = "from diffusers.utils.import_utils import is_xformers_available\n"
GOING = {
    "alone": "unet.enable_xformers_memory_efficient_attention()",
    "with an operator": "unet.enable_xformers_memory_efficient_attention(attention_op=None)",
    "the older name, plainly": "pipe.vae.set_use_memory_efficient_attention_xformers(True)",
    "a part": "pipe.unet.enable_xformers_memory_efficient_attention()",
    "the older name": "pipe.vae.set_use_memory_efficient_attention_xformers(args.fast)",
    "a training script": """\
if args.fast:
    if is_xformers_available():
        import xformers

        xformers_version = version.parse(xformers.__version__)
        if xformers_version == version.parse("0.0.16"):
            logger.warning(
                "xFormers 0.0.16 cannot be used for training."
            )
        unet.enable_xformers_memory_efficient_attention()
    else:
        raise ValueError("xformers is not available. Make sure it is installed correctly")""",
    "a question imported on the way": f"""\
if args.fast:
    {QUESTION}
    if is_xformers_available():
        unet.enable_xformers_memory_efficient_attention()
    else:
        raise ValueError("xformers is not available")""",
    "a question": "if is_xformers_available():\n    unet.enable_xformers_memory_efficient_attention()",
    "two and a message": """\
if is_xformers_available():
    unet.enable_xformers_memory_efficient_attention()
    pipe.enable_xformers_memory_efficient_attention()
else:
    logger.warning("xformers is not available")""",
    "a try": """\
try:
    pipe.enable_xformers_memory_efficient_attention()
except Exception as error:
    logger.warning(f"no xformers: {error}")""",
    "a try in a question": """\
if is_xformers_available():
    try:
        unet.enable_xformers_memory_efficient_attention()
    except Exception as e:
        logger.warning("Could not enable memory efficient attention.", e)""",
    "torch 2 first": """\
import torch

if args.fast:
    if version.parse(torch.__version__) >= version.parse("2"):
        logger.info("SDPA is the default")
    elif not is_xformers_available():
        logger.warning("xformers is not available")
    else:
        pipe.enable_xformers_memory_efficient_attention()""",
    "after prepare": "unet, other = accelerator.prepare(unet, pipe)\nunet.enable_xformers_memory_efficient_attention()",
    "unwrapped": "inner = accelerator.unwrap_model(unet)\ninner.enable_xformers_memory_efficient_attention()",
    "an assertion": """\
if args.fast:
    assert is_xformers_available(), "xformers is not installed"
    unet.enable_xformers_memory_efficient_attention()""",
    "an elif": """\
if args.slow:
    pipe.enable_attention_slicing()
elif args.fast:
    pipe.enable_xformers_memory_efficient_attention()""",
    "slower where it is missing": """\
if is_xformers_available():
    pipe.enable_xformers_memory_efficient_attention()
else:
    pipe.enable_attention_slicing()""",
    "another arm": """\
if args.fast:
    pipe.enable_xformers_memory_efficient_attention()
else:
    pipe.enable_attention_slicing()""",
    "the other arm taken": """\
if args.slow:
    pipe.enable_xformers_memory_efficient_attention()
else:
    pipe.enable_attention_slicing()""",
    "a block of its own": "for one in (1, 2):\n    pipe.enable_xformers_memory_efficient_attention()",
    "a key of settings": """\
if args.fast \\
        and unet.config.get("kind", "2d") == "2d":
    unet.enable_xformers_memory_efficient_attention()""",
    "an elif before an else": """\
if args.slow:
    pipe.enable_attention_slicing()
elif args.fast:
    pipe.enable_xformers_memory_efficient_attention()
else:
    pipe.enable_attention_slicing()""",
    "a condition that binds": "if (n := args.fast):\n    unet.enable_xformers_memory_efficient_attention()",
    "a condition that does something": (
        "if accelerator.prepare(args.fast):\n    unet.enable_xformers_memory_efficient_attention()"
    ),
    "another key": "if args.__dict__.get('fast'):\n    unet.enable_xformers_memory_efficient_attention()",
    "the other arm taken, and another behind it": """\
if args.slow:
    pipe.enable_xformers_memory_efficient_attention()
else:
    pipe.enable_attention_slicing()
unet.enable_xformers_memory_efficient_attention()""",
    "the backend": 'pipe.transformer.set_attention_backend("xformers")',
}


def program(body: str) -> str:
    """A whole program around some lines, with the imports that they need."""
    needed = {"is_xformers_available": QUESTION, "version.": "from packaging import version\n"}
    return (
        "".join(line for word, line in needed.items() if word in body and line not in body)
        + HEAD
        + "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
        + "    return unet, pipe\n"
    )


def printed(folder: Path, text: str, *, installed: bool) -> str:
    """What a program prints, with an xformers or without."""
    write(folder, {"diffusers/__init__.py": DIFFUSERS, "diffusers/utils/import_utils.py": UTILS, "run.py": text + RUN})
    write(folder, {"diffusers/utils/__init__.py": ""})
    if installed:
        write(folder, {"xformers/__init__.py": '__version__ = "0.0.20"\n'})
    command = [sys.executable, "-c", BLOCK + "import runpy; runpy.run_path('run.py', run_name='__main__')"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


BLOCK = """\
import importlib.util, os, sys
sys.path.insert(0, os.getcwd())
found = importlib.util.find_spec
if not os.path.isdir("xformers"):
    importlib.util.find_spec = lambda name, *rest: None if name == "xformers" else found(name, *rest)
    sys.modules["xformers"] = None
"""


@pytest.mark.parametrize("body", GOING.values(), ids=GOING)
def test_it_goes_and_the_program_runs_without_xformers(tmp_path: Path, body: str) -> None:
    text = program(body)
    result = rewrite_text(text, compat="_attention_compat")
    assert not result.failed, result.findings
    assert "xformers" not in result.new, result.new
    assert not [finding for finding in result.findings if finding.needs_xformers]
    assert {finding.code for finding in result.findings} >= {"XF180"}
    assert "if True" not in result.new
    before = printed(tmp_path / "before", text, installed=True)
    assert printed(tmp_path / "after", result.new, installed=False) == before
    assert printed(tmp_path / "kept", result.new, installed=True) == before


HANDED = """\
from diffusers import DiffusionPipeline, UNet2DConditionModel


def fast(unet, pipe=None):
    unet.enable_xformers_memory_efficient_attention()
    if pipe is not None:
        pipe.enable_xformers_memory_efficient_attention()


class Job:
    def __init__(self, unet):
        self.unet = unet

    def run(self):
        self.unet.enable_xformers_memory_efficient_attention()


def main(args, accelerator):
    unet = UNet2DConditionModel.from_pretrained("a")
    unet = accelerator.prepare(unet)
    fast(unet)
    fast(unet, pipe=DiffusionPipeline.from_pretrained("a"))
    Job(unet=unet).run()
"""
GUARD = """
if __name__ == "__main__":
    pass
"""


def test_what_all_callers_in_a_program_pass(tmp_path: Path) -> None:
    result = rewrite_text(HANDED + GUARD, compat="_attention_compat")
    assert not result.failed, result.findings
    assert "xformers" not in result.new, result.new
    before = printed(tmp_path / "before", HANDED + GUARD, installed=True)
    assert printed(tmp_path / "after", result.new, installed=False) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (GUARD, ""),  # others may import it, and call what they find
        ("    fast(unet)\n", "    fast(args.model)\n"),
        ("    fast(unet)\n", "    fast(*args.models)\n"),
        ("    fast(unet)\n", "    fast(**args.models)\n"),
        ("    fast(unet)\n", "    fast(unet)\n    args.hook = fast\n"),
        ("def fast(unet, ", "def fast(*unet, "),
        ("def fast(", "@cached\ndef fast("),
        ("    fast(unet)\n", ""),  # the other call goes with it
    ],
)
def test_a_parameter_that_may_be_something_else(old: str, new: str) -> None:
    text = (HANDED + GUARD).replace(old, new)
    assert text != HANDED + GUARD
    text = text.replace('    fast(unet, pipe=DiffusionPipeline.from_pretrained("a"))\n', "") if not new else text
    result = rewrite_text(text, compat="_attention_compat")
    assert "    unet.enable_xformers_memory_efficient_attention()" in result.new
    assert "XF411" in {finding.code for finding in result.findings if finding.kind is FindingKind.KEEPS}


def test_a_function_that_another_file_takes(tmp_path: Path) -> None:
    taken = "from run import fast\n\nfast(object())\n"
    write(tmp_path, {"run.py": HANDED + GUARD, "other.py": taken})
    rewrite(tmp_path)
    new = (tmp_path / "run.py").read_text()
    assert "    unet.enable_xformers_memory_efficient_attention()" in new
    assert "self.unet.enable" not in new


def test_the_function_that_chooses_a_backend() -> None:
    """`attention_backend` of diffusers, whatever object is called inside; one of the project's own is left."""
    text = "from {} import attention_backend\n\n\ndef f(run):\n    with attention_backend('xformers'):\n        run()\n"
    theirs = rewrite_text(text.format("diffusers"), compat="_attention_compat")
    assert theirs.new == text.format("diffusers").replace("'xformers'", '"native"')
    assert {finding.code for finding in theirs.findings} == {"XF180"}
    plain = program('pipe.transformer.load("xformers")')
    assert rewrite_text(plain, compat="_attention_compat").new == plain
    own = text.format("mine") + "# not of diffusers\n"
    assert rewrite_text(own, compat="_attention_compat").new == own


def test_a_class_of_the_projects_own_is_not_diffusers(tmp_path: Path) -> None:
    """Unless nothing of the project's stands behind the switch, and the class derives from diffusers'."""
    switch = "pipe = Pipe.from_pretrained('a')\npipe.enable_xformers_memory_efficient_attention()\n"
    run = f"from pk.pipes import Pipe\n\n{switch}"
    plain = "from diffusers import DiffusionPipeline\n\n\nclass Pipe(DiffusionPipeline):\n    pass\n"
    write(tmp_path, {"pk/__init__.py": "", "pk/pipes.py": plain, "run.py": run})
    rewrite(tmp_path)
    assert (tmp_path / "run.py").read_text() == "from pk.pipes import Pipe\n\npipe = Pipe.from_pretrained('a')\n"
    own = "\n    def enable_xformers_memory_efficient_attention(self):\n        self.fast = True\n"
    write(tmp_path, {"pk/pipes.py": plain + own, "run.py": run})
    rewrite(tmp_path)
    assert (tmp_path / "run.py").read_text() == run
    write(tmp_path, {"pk/pipes.py": "class Pipe:\n    pass\n", "run.py": run})
    rewrite(tmp_path)
    assert (tmp_path / "run.py").read_text() == run


@pytest.mark.parametrize(
    ("pin", "gone"),
    [
        ("diffusers", True),
        ("diffusers>=0.11", True),
        ("diffusers==0.20.1", True),
        ("diffusers==0.15.1", False),
        ("diffusers<0.13", False),
    ],
)
def test_a_release_without_sdpa_keeps_it(tmp_path: Path, pin: str, gone: bool) -> None:
    text = program("pipe.enable_xformers_memory_efficient_attention()")
    write(tmp_path, {"run.py": text, "requirements.txt": f"torch\n{pin}\n"})
    output = rewrite("-v", tmp_path).output
    assert ("enable_xformers" not in (tmp_path / "run.py").read_text()) is gone
    assert ("lacks SDPA" in output) is not gone, "the reason is told"
    assert ("diffusers 0.17 or newer" in output) is not gone


def test_a_unet_had_it_earlier(tmp_path: Path) -> None:
    write(tmp_path, {"run.py": program("unet.enable_xformers_memory_efficient_attention()")})
    write(tmp_path, {"requirements.txt": "diffusers==0.15.1\n"})
    rewrite(tmp_path)
    assert "enable_xformers" not in (tmp_path / "run.py").read_text()


def test_its_example() -> None:
    examples_hold("removed_switches")
