"""The map of the house holds: no import leads up, none in a circle, no rule imports another."""

from __future__ import annotations

import re
from pathlib import Path

from tests import house
from tests.house import ROOMS, Arrow

MODULES = house.texts()
MAP = Path(__file__).parents[1] / "CONTRIBUTING.md"


def test_every_module_lies_in_a_room() -> None:
    assert {house.room(module) for module in MODULES} - {""} == set(ROOMS)


def test_no_import_leads_up() -> None:
    assert house.upward(MODULES) == []


def test_no_imports_in_a_circle() -> None:
    assert house.circles(MODULES) == []


def test_no_rule_imports_another() -> None:
    assert [a for a in house.arrows(MODULES) if house.room(a.source) == "rules" and a.target.startswith("rules.")] == []


def test_an_arrow_that_is_turned_round_is_seen() -> None:
    turned = {**MODULES, "rulekit.draft": "from xf2sdpa.rewrite.engine import rewrite_text\n"}
    assert house.upward(turned) == [Arrow("rulekit.draft", "rewrite.engine")]
    turned = {**MODULES, "files.source": f"{MODULES['files.source']}\nfrom xf2sdpa.files import git\n"}
    turned["files.git"] = "def f():\n    from xf2sdpa.files.source import read\n"
    assert house.circles(turned) == [["files.git", "files.source"]]
    for text in ("from ..rewrite.engine import rewrite_text\n", "from ..rewrite import engine\n"):
        assert house.upward({**MODULES, "rulekit.draft": text}) == [Arrow("rulekit.draft", "rewrite.engine")]
    assert Arrow("rules.scale", "rules.rank") in house.arrows({**MODULES, "rules.scale": "from . import rank\n"})
    turned = {**MODULES, "verify.verdict": "from xf2sdpa.verify import run\n"}
    assert house.upward(turned) == [Arrow("verify.verdict", "verify.run")]


def test_contributing_shows_this_map() -> None:
    section = MAP.read_text("utf-8").partition("## The rooms\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)(?:\.py|/)` \| ([^|]+) \|$", section, re.MULTILINE)
    assert dict(listed) == ROOMS


def test_contributing_names_the_modules_of_the_static_half_once() -> None:
    section = MAP.read_text("utf-8").partition("## Where inside a room\n")[2].partition("\n## ")[0]
    named: list[str] = []
    for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE):
        room = ""
        for path in re.findall(r"`([\w/]+)`", row):
            room = path.rpartition("/")[0].rpartition("/")[0] or path.partition("/")[0] if "/" in path[:-1] else room
            named.append((path if "/" in path[:-1] else f"{room}/{path}").rstrip("/").replace("/", "."))
    static = [*ROOMS][: [*ROOMS].index("run") + 1]
    rooms = {room for room in static if (house.HOME / room).is_dir()} - {"compat", "rules"}
    inside = [module for module in MODULES if "." in module and house.room(module) in rooms]
    assert [m for m in inside if not any(f"{m}.".startswith(f"{n}.") for n in named)] == []
    assert sorted(named) == sorted(set(named))
    assert [n for n in named if not any(f"{m}.".startswith(f"{n}.") for m in MODULES)] == []


def test_no_file_is_too_long_to_be_one_thing() -> None:
    lines = {module: text.count("\n") for module, text in MODULES.items()}
    lines |= {str(file): file.read_text("utf-8").count("\n") for file in Path(__file__).parent.rglob("*.py")}
    assert {module: count for module, count in lines.items() if count > 450} == {}
