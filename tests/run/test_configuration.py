"""settings: what pyproject.toml may say, what is refused and how, and what options override."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from xf2sdpa.files.pyproject import SettingsError, find_pyproject
from xf2sdpa.run import configuration
from xf2sdpa.run.configuration import load, overridden, without_device
from xf2sdpa.settings import Settings


def project(folder: Path, text: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _: False)  # whatever lies above tmp_path
    assert load(tmp_path) == Settings()
    assert Settings().wrap_at() is None


def test_defaults() -> None:
    assert Settings() == Settings(
        paths=(),
        include=("*.py", "*.pyi", "*.ipynb"),
        exclude=(),
        extend_exclude=(),
        torch=None,
        select=(),
        ignore=(),
        device=None,
        style="inline",
        line_length=None,
        file=None,
    )


def test_every_key(tmp_path: Path) -> None:
    file = project(
        tmp_path,
        """
        [tool.xf2sdpa]
        paths = ["src"]
        include = ["*.py"]
        exclude = ["a/"]
        extend-exclude = ["b/"]
        torch = "2.10.1"
        select = ["XF1", "XF"]
        ignore = ["XF101"]
        device = "any"
        style = "compat"
        line-length = 79
        """,
    )
    loaded = load(tmp_path)
    assert loaded == Settings(
        paths=("src",),
        include=("*.py",),
        exclude=("a/",),
        extend_exclude=("b/",),
        torch=(2, 10),
        select=("XF1", "XF"),
        ignore=("XF101",),
        device="any",
        style="compat",
        line_length=79,
        file=file,
    )
    assert loaded.all_exclude == ("a/", "b/")


@pytest.mark.parametrize(
    ("device", "flags", "left", "warns"),
    [
        (None, None, None, False),
        (None, ("safe",), ("safe",), False),
        ("h200", None, None, True),
        ("h200", ("safe",), ("safe",), True),
        ("any", None, ("off",), True),
        ("any", ("safe",), ("off",), True),
        ("any", ("keep",), ("keep",), True),
    ],
)
def test_a_device_is_taken_as_flags_and_warned_of(
    device: str | None, flags: tuple[str, ...] | None, left: tuple[str, ...] | None, warns: bool
) -> None:
    settings, warning = without_device(Settings(device=device, flags=flags))
    assert (settings.device, settings.flags) == (None, left)
    assert bool(warning) is warns


def test_every_setting_has_a_check() -> None:
    assert {*configuration._CHECKS, "file"} == set(Settings.__dataclass_fields__)


def test_the_nearest_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, '[tool.xf2sdpa]\nstyle = "compat"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "c.py").write_text("")
    assert load(below).style == "compat"
    assert load(below / "c.py").style == "compat"
    nearer = project(tmp_path / "a", "")
    assert load(below) == Settings(file=nearer)
    assert find_pyproject(below) == nearer
    monkeypatch.chdir(below)
    assert find_pyproject(Path()) == nearer
    assert find_pyproject(tmp_path) == tmp_path / "pyproject.toml"


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        (
            'styel = "compat"',
            "styel",
            "unknown; did you mean 'style'? Allowed: paths, include, exclude, extend-",
        ),
        ("extend_exclude = []", "extend_exclude", "unknown; did you mean 'extend-exclude'?"),
        ("zzz = 1", "zzz", "unknown. Allowed: paths"),
        (
            'style = "compact"',
            "style",
            "'compact' is unknown; did you mean 'compat'? Allowed: inline, compat",
        ),
        ("style = 1", "style", "must be one of inline, compat, not 1"),
        ('device = "a100"', "device", "Allowed: h200, any"),
        ("torch = 2.1", "torch", "must be a version in quotes, such as '2.1', not 2.1"),
        ('torch = ">=2.1"', "torch", "must be a version in quotes"),
        ('torch = "2"', "torch", "must be a version in quotes"),
        ('paths = "src"', "paths", "must be a list of strings, not 'src'"),
        ("exclude = [1]", "exclude", "must be a list of strings, not [1]"),
        ('select = ["E501"]', "select", "'E501'"),
        ('ignore = ["XF1011"]', "ignore", "'XF1011'"),
        ('ignore = ["XF8"]', "ignore", "no code begins with 'XF8'"),
        ("flags = []", "flags", "must name at least one of h200, safe"),
        ('flags = ["off", "tf32"]', "flags", "off and keep stand alone"),
        ("line-length = 0", "line-length", "must be a whole number above 0, not 0"),
        ("line-length = true", "line-length", "not True"),
        ('line-length = "88"', "line-length", "not '88'"),
    ],
)
def test_refused(tmp_path: Path, line: str, key: str, message: str) -> None:
    file = project(tmp_path, f"[tool.xf2sdpa]\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.path, error.key) == (file, f"tool.xf2sdpa.{key}")
    assert message in error.message
    assert str(error) == f"{file}: tool.xf2sdpa.{key}: {error.message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool]\nxf2sdpa = "x"\n', "tool.xf2sdpa: must be a table"),
        ("[tool.xf2sdpa\n", "is not valid TOML"),
    ],
)
def test_a_broken_table(tmp_path: Path, text: str, message: str) -> None:
    project(tmp_path, text)
    with pytest.raises(SettingsError, match=message):
        load(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"[tool.xf2sdpa] # \xff\n")
    with pytest.raises(SettingsError, match="is not valid TOML"):
        load(tmp_path)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "find_pyproject", lambda _: tmp_path)
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_file_that_is_not_about_us_is_not_judged(tmp_path: Path) -> None:
    file = project(tmp_path, "not = = toml")
    assert load(tmp_path) == Settings(file=file)
    assert load(tmp_path).wrap_at() is None


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("[tool.ruff]\nline-length = 100\n[tool.black]\nline-length = 90\n", 100),
        ("[tool.black]\nline-length = 90\n", 90),
        ("[tool.ruff]\nline-length = true\n[tool.black]\nline-length = 90\n", 90),
        ("[tool.ruff]\nline-length = 100\n[tool.xf2sdpa]\nline-length = 70\n", 70),
        ("[tool.ruff.lint]\nselect = []\n", None),
        ("tool = 1\n", None),
        ("[tool]\nruff = 1\n", None),
    ],
)
def test_the_line_length_is_looked_for(tmp_path: Path, text: str, length: int | None) -> None:
    project(tmp_path, text)
    assert load(tmp_path).wrap_at() == length


def test_override() -> None:
    given = Settings(exclude=("a",), style="compat", torch=(2, 1))
    changed = overridden(given, exclude=["b"], style=None, torch="2.4", line_length=99)
    assert changed == Settings(exclude=("b",), style="compat", torch=(2, 4), line_length=99)
    assert given == Settings(exclude=("a",), style="compat", torch=(2, 1))
    assert overridden(given, torch=(2, 5), exclude=()) == Settings(style="compat", torch=(2, 5))


def test_override_checks_as_the_file_does() -> None:
    with pytest.raises(SettingsError) as caught:
        overridden(Settings(), extend_exclude="b")
    assert caught.value.path is None
    assert str(caught.value) == "extend-exclude: must be a list of strings, not 'b'"
    for name in ("exclud", "file"):
        with pytest.raises(TypeError, match=f"no such setting: {name}"):
            overridden(Settings(), **{name: ()})


def test_toml_is_imported_only_when_asked_for(tmp_path: Path) -> None:
    project(tmp_path, "[tool.black]\nline-length = 90\n")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(configuration.__file__).parents[2])!r})\n"
        "from pathlib import Path; from xf2sdpa.run.configuration import load\n"
        f"loaded = load(Path({str(tmp_path)!r}))\n"
        "print(*{'tomllib', 'tomli', 'difflib'} & set(sys.modules))\n"
        "print(loaded.wrap_at())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n90\n"
