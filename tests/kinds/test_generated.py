"""Generated projects: a guard around xformers, a question about it, a form of the import, one file or several.

Each is run where xformers is present, before and after the rewrite, and where it is absent after it: the path that ran
must run, and nothing may import xformers any more. Every guard and every question occurs; the rest is drawn by a seed.
`XF2SDPA_PROJECTS=500 python -m pytest tests/kinds/test_generated.py` draws more.
"""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.kinds.kinds import Case, absent, execute, present
from tests.projects.harness import tree, write
from xf2sdpa.cli import cli


def _read(name: str) -> dict[str, str]:
    """A table of programs: `=== name`, then the text."""
    parts = (Path(__file__).with_name(name).read_text("utf-8")).split("=== ")[1:]
    return {first: text.strip("\n") + "\n" for first, _, text in (part.partition("\n") for part in parts)}


GUARDS = _read("guards.txt")
"""Each sets `FAST`; `{imp}` is the import."""
QUESTIONS = _read("questions.txt")
"""The body of `attend`, which calls `fast` or `slow`."""
IMPORTS = {
    "by module": ("import xformers.ops as xops", "xops.memory_efficient_attention"),
    "by name": ("from xformers.ops import memory_efficient_attention", "memory_efficient_attention"),
    "by another name": ("from xformers.ops import memory_efficient_attention as mea", "mea"),
    "by path": ("import xformers.ops", "xformers.ops.memory_efficient_attention"),
}
LAYOUTS = ("one file", "inside the function", "a flag of another file", "a module's flag", "a package's flag")
RANKS = {"inline": "    b, n, h, d = q.shape\n", "by the helper": ""}
OPTIONS = ((), ("--style", "compat"), ("--flags", "off"))
SLOW = "\n\ndef slow(q, k, v):\n    return 'slow', 0\n"
RUN = "import net\nprint(net.attend(q.detach(), k.detach(), v.detach()))"
DRAWN = int(os.environ.get("XF2SDPA_PROJECTS", "40"))


@dataclass(frozen=True)
class Drawn:
    """One project, by the names of its parts."""

    guard: str
    question: str
    form: str = "by module"
    layout: str = "one file"
    rank: str = "inline"
    options: tuple[str, ...] = ()

    def files(self) -> dict[str, str]:
        """Its files."""
        imp, call = IMPORTS[self.form]
        inside = self.layout != "one file"
        guard = GUARDS[self.guard].replace("{imp}", "import xformers  # noqa: F401" if inside else imp)
        local = f"    {imp}\n\n" if inside else ""
        fast = f"\n\ndef fast(q, k, v):\n{local}{RANKS[self.rank]}"
        fast += f"    return 'fast', round(float({call}(q, k, v).sum()), 6)\n"
        rest = f"{SLOW}{fast}\n\ndef attend(q, k, v):\n{QUESTIONS[self.question]}"
        if self.layout == "a flag of another file":
            return {"env.py": guard, "net.py": f"from env import FAST\n{rest}"}
        if self.layout == "a module's flag":
            read = re.sub(r"(?<!['\w.])FAST\b", "env.FAST", QUESTIONS[self.question])
            return {"env.py": guard, "net.py": "import env\n" + rest.replace(QUESTIONS[self.question], read)}
        if self.layout == "a package's flag":
            init, net = "from .env import FAST\n", f"from . import FAST\n{rest}"
            return {
                "pk/__init__.py": init,
                "pk/env.py": guard,
                "pk/net.py": net,
                "net.py": "from pk.net import attend\n",
            }
        return {"net.py": guard + rest}


def drawn() -> list[Drawn]:
    """Every guard, every question in every layout, and a number of others."""
    chance = random.Random(20)
    projects = [Drawn(guard, "if") for guard in GUARDS]
    by_name = ("globals", "getattr")  # which have no attribute to read
    projects += [
        Drawn("a try", q, "by name", chance.choice(LAYOUTS[:3] if q in by_name else LAYOUTS)) for q in QUESTIONS
    ]
    for _ in range(DRAWN):
        layout, question = chance.choice(LAYOUTS), chance.choice(list(QUESTIONS))
        if layout == "a module's flag" and question in by_name:
            continue
        parts = (list(IMPORTS), [layout], list(RANKS), OPTIONS)
        projects.append(Drawn(chance.choice(list(GUARDS)), question, *map(chance.choice, parts)))  # type: ignore[arg-type]
    return list(dict.fromkeys(projects))


def named(project: Drawn) -> str:
    return ", ".join([project.guard, project.question, project.form, project.layout, project.rank, *project.options])


@pytest.mark.parametrize("project", drawn(), ids=named)
def test_the_path_that_ran_runs(project: Drawn, tmp_path: Path) -> None:
    files = project.files()
    home = write(tmp_path / "home", files)
    (tmp_path / "lib").mkdir()
    case = Case(name="", files=files, run=RUN)
    before = execute(case, tmp_path, present)
    assert before.splitlines()[-1].startswith("('fast', "), before
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        result = CliRunner().invoke(cli, ["rewrite", "--jobs", "1", "-v", *project.options, "."])
    shown = "\n".join(["", result.output, *(f"# {n}\n{t}" for n, t in tree(home).items() if "compat" not in n)])
    assert result.exit_code == 0, shown
    assert execute(case, tmp_path, present) == before, shown
    assert execute(case, tmp_path, absent) == before, shown
    assert not re.search(r"^ *(import|from) xformers", shown.partition("# ")[2], re.MULTILINE), shown
