"""An assumption says by which way it is known, wherever it goes: into a report, and through the pool of processes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.projects.harness import write
from tests.projects.ways import Files, callers, never_passed, proved
from tests.rules.common import Case, attend, mea, rewritten
from tests.run.test_ways import laid_out
from xf2sdpa.files.listing import list_files
from xf2sdpa.model import Assumption, SiteClass, Way
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.run.seen import read_seen
from xf2sdpa.settings import Settings


def test_a_sentence_is_text_and_keeps_its_way() -> None:
    sentence = Assumption("nothing passes one", Way.CALLERS)
    same = pickle.loads(pickle.dumps(sentence))
    assert same == sentence == "nothing passes one"
    assert same.way is Way.CALLERS
    assert Assumption("as annotated").way is Way.FUNCTION
    assert json.dumps([sentence]) == '["nothing passes one"]'


NO_OBJECTS = "import xformers.ops as xops\n\n\ndef attend(q, mask=None):\n    b, n, d = q.shape\n"
NO_OBJECTS += "    return xops.memory_efficient_attention(q, q, q, attn_bias=mask) + b\n"
OVERRIDABLE = """\
import xformers.ops as xops


class Attend:
    def split(self, x, b, n, h):
        return x.view(b, n, h, -1)

    def attend(self, x, b, n, h):
        q = self.split(x, b, n, h)
        return xops.memory_efficient_attention(q, q, q).flatten(2)
"""
PROJECTS: dict[str, tuple[Files, Way]] = {
    "what callers pass": (callers.RANKS.accepted["one call"], Way.CALLERS),
    "what nothing passes": (never_passed.WAY.accepted["asked for"], Way.CALLERS),
    "what a library documents": (proved.TABLES.accepted["heads into the batch"], Way.LIBRARY),
    "what a run saw": (proved.RECORDED.accepted["one case"], Way.RUN),
    "what nothing makes": ({"ops.py": NO_OBJECTS, "other.py": "import torch\n"}, Way.INDEX),
    "what nothing overrides": ({"ops.py": OVERRIDABLE}, Way.CLASSES),
}


@pytest.mark.parametrize(("files", "way"), PROJECTS.values(), ids=list(PROJECTS))
@pytest.mark.parametrize("jobs", [1, 2])
def test_whole_projects(files: Files, way: Way, jobs: int, tmp_path: Path) -> None:
    root = laid_out(tmp_path, files)
    write(root, {f"more{number}.py": "import xformers.ops as xops\n" for number in range(40)})
    seen = read_seen([root / "run.json"]) if "run.json" in files else {}
    run = rewrite_files(list_files([root]), Settings(), RunOptions(jobs=jobs, seen=seen))
    sites = [site for result in run.results for site in result.sites if site.kind is SiteClass.ASSUMED]
    assert sites
    assert way in {assumption.way for site in sites for assumption in site.assumptions}
    assert all(isinstance(assumption, Assumption) for site in sites for assumption in site.assumptions)


def test_what_the_function_leaves_open_and_what_the_user_wants() -> None:
    open_ = rewritten(Case(attend(mea()))).sites[0]
    assert {assumption.way for assumption in open_.assumptions} == {Way.FUNCTION}
    masked = attend(mea("attn_bias=mask"), "mask = torch.zeros(b, h, n, n)")
    off = rewritten(Case(masked, settings=Settings(nan_guard="off"))).sites[0]
    assert Way.WISH in {assumption.way for assumption in off.assumptions}
