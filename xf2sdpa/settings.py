"""What a project, or a command line, asks for, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.files.pyproject import SettingsError, parse_file, table_in
from xf2sdpa.model import TorchVersion

DEVICES = ("h200", "any")
STYLES = ("inline", "compat")
NAN_GUARDS = ("auto", "on", "off")
HELPERS = ("copy", "import", "none")
REQUIREMENTS = ("edit", "keep")


@dataclass(frozen=True)
class Settings:
    """What a project, or a command line, wants. In pyproject.toml the keys have "-" for "_"."""

    paths: tuple[str, ...] = ()
    """Where to work when no path is given; below the folder of `file`."""
    include: tuple[str, ...] = ("*.py", "*.pyi", "*.ipynb")
    exclude: tuple[str, ...] = ()
    extend_exclude: tuple[str, ...] = ()
    torch: TorchVersion | None = None
    """The oldest torch that the result must run with."""
    select: tuple[str, ...] = ()
    """Prefixes of the codes to work on; none means all."""
    ignore: tuple[str, ...] = ()
    """Prefixes of the codes to leave out of `select`."""
    device: str | None = None
    """No longer of use: "any" means `flags = "off"`, and either is warned of."""
    style: str = "inline"
    helper: str = "copy"
    """Where calls that cannot be inline go: to a module made in the project, to the installed xf2sdpa, or nowhere."""
    nan_guard: str = "auto"
    """Which inline calls keep off cuDNN's NaN gradients by the helper's `scaled_dot_product_attention`: `auto` masked
    ones unless that cannot happen here, `on` unmasked ones too, `off` none."""
    requirements: str = "edit"
    """Whether requirement files lose xformers once nothing needs it."""
    flags: tuple[str, ...] | None = None
    """Which H200 flags entry points get: words of `--flags`; None for the usual."""
    flags_in: tuple[str, ...] = ()
    """The files that get them, instead of the entry points found; in pyproject.toml below the folder of `file`."""
    line_length: int | None = None
    """As set for xf2sdpa itself; `wrap_at` looks further."""
    file: Path | None = None
    """The nearest pyproject.toml, whether it has our table or not."""

    @property
    def all_exclude(self) -> tuple[str, ...]:
        """`exclude` and what extends it."""
        return self.exclude + self.extend_exclude

    def selects(self, code: str) -> bool:
        """Whether `select` and `ignore` let a code be worked on."""
        return (not self.select or code.startswith(self.select)) and not self.ignores(code)

    def ignores(self, code: str) -> bool:
        """Whether `ignore` names a code."""
        return bool(self.ignore) and code.startswith(self.ignore)

    def wrap_at(self) -> int | None:
        """Return the line length: ours, or else ruff's or black's in the same file, or else None."""
        if self.line_length is not None or self.file is None:
            return self.line_length
        try:
            tools = table_in(parse_file(self.file), "tool")
        except SettingsError:
            return None  # another tool's trouble: without a table of ours the file is none of our business
        for tool in ("ruff", "black"):
            length = table_in(tools, tool).get("line-length")
            if type(length) is int and length > 0:
                return length
        return None
