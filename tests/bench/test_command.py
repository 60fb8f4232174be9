"""`xf2sdpa bench` as a user runs it, on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
from click.testing import CliRunner, Result

from tests.bench import samples
from tests.bench.test_report import SCHEMA
from xf2sdpa.bench import workloads
from xf2sdpa.bench.report import json as document
from xf2sdpa.cli import cli

TABLE = '[[shape]]\nname = "mine"\nbatch = 16\nm = 64\nn = 64\nheads = [2]\nk = 8\n'


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)])


def test_one_command_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "SHRINK", 64)
    (tmp_path / "shapes.toml").write_text(TABLE)
    files = {kind: tmp_path / f"out.{kind}" for kind in ("json", "html", "markdown")}
    options = [part for kind, file in files.items() for part in (f"--{kind}", file)]
    parts = ("--only", "guide", "--only", "shapes", "--only", "selection")
    done = bench("--device", "cpu", "--budget", "20", "--shapes", tmp_path / "shapes.toml", *parts, *options)
    assert done.exit_code == 0, done.output
    read = json.loads(files["json"].read_text())
    jsonschema.validate(read, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert (read["environment"]["device"], read["is_gpu"]) == ("cpu", False)
    again = read["environment"]["command"]
    assert again.startswith("xf2sdpa bench --device cpu --budget 20 --shapes ")
    assert again.endswith(" --only guide --only shapes --only selection"), "where output goes is no part of it"
    assert [shape["name"] for shape in read["shapes"]] == ["the guide's shape", "mine"]
    entries = {entry["name"]: entry for entry in read["shapes"][1]["entries"]}
    assert entries["sdpa"]["timing"]["total"] > 0
    assert "xformers" in entries["xformers"]["reason"]
    assert files["html"].read_text().lower().startswith("<!doctype html>")
    assert files["markdown"].read_text().startswith("# ")
    assert "bench: " in done.stderr
    assert "CPU: " in done.stdout


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    file = tmp_path / "run.json"
    file.write_text(document.render(samples.result()))
    return file


def test_a_page_is_made_later_from_the_document(stored: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = bench("--from", stored, "--html", page, "--output-format", "json")
    assert done.exit_code == 0
    assert done.stdout == stored.read_text()
    assert "NVIDIA H200" in page.read_text()
    assert bench("--from", stored, "--output-format", "markdown").stdout.startswith("# ")


@pytest.mark.parametrize(
    "options",
    [("--quick",), ("--budget", "5"), ("--device", "cpu"), ("--only", "guide"), ("--shapes", "shapes.toml")],
)
def test_nothing_is_measured_from_a_document(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shapes.toml").write_text(TABLE)
    done = bench("--from", stored, *options)
    assert done.exit_code == 2
    assert f"--from measures nothing: it does not go with {options[0]}" in done.stderr


def test_verbose_names_every_claim(tmp_path: Path) -> None:
    file = tmp_path / "cpu.json"
    file.write_text(document.render(samples.result("cpu")))
    short, long = bench("--from", file), bench("--from", file, "-v")
    assert (short.exit_code, long.exit_code) == (0, 0)
    assert "; -v lists them" in short.stdout
    assert long.stdout.count("? not measured here: ") > 20


def test_a_page_needs_no_torch(stored: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from xf2sdpa.cli import cli; "
        f"cli(['bench', '--from', {str(stored)!r}, '--html', {str(stored) + '.html'!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_torch_it_says_what_to_install(stored: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from xf2sdpa.cli import cli; cli(['bench'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'torch>=2.1' jinja2" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_a_usage_error() -> None:
    done = bench("--device", "cuda")
    assert done.exit_code == 2
    assert "--device cpu" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--device", "tpu"),
        ("--only", "nothing"),
        ("--budget", "0"),
        ("--from", "no such file"),
        ("--output-format", "x"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...]) -> None:
    assert bench(*arguments).exit_code == 2


def test_files_that_cannot_be_used(tmp_path: Path, stored: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    done = bench("--from", other)
    assert (done.exit_code, "not a report" in done.stderr) == (2, True)
    table = tmp_path / "bad.toml"
    table.write_text("[[shape]]\nname = 'x'\n")
    done = bench("--device", "cpu", "--shapes", table)
    assert (done.exit_code, "lacks" in done.stderr) == (2, True)
    done = bench("--from", stored, "--json", tmp_path / "no" / "such" / "folder.json")
    assert done.exit_code == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_every_figure_of_the_guides_table_is_there(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = bench("--only", "ceilings", "--only", "selection", "--only", "guide", "--budget", "60", "--json", out)
    assert done.exit_code == 0, done.output
    run = document.parse(out.read_text())
    assert run.is_gpu
    shape = run.guide_shape
    assert shape
    for name in (
        "sdpa",
        "sdpa_flash",
        "sdpa_efficient",
        "sdpa_math",
        "flash_attention_2",
        "standard",
        "inline",
        "compat",
    ):
        entry = shape.entry(name)
        assert entry, name
        assert entry.timing, f"{name}: {entry.reason}"
        assert entry.timing.total, name
        assert entry.forward_memory, name
    sdpa = shape.timing("sdpa")
    assert sdpa
    assert sdpa.kernel
    share = run.flops_share(shape, sdpa)
    assert share
    assert 0.05 < share < 1.1
    assert all(selection.operators for selection in run.selections)
