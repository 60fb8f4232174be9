"""Bar charts as SVG files that stand alone: no script, no font from elsewhere, a ground of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 860, 315, 75
BAR, GAP, HEAD, FOOT = 15, 10, 64, 30
COLOURS = ("#1f5fa8", "#3f9a86", "#c2741f")
"""Of the series, in their order; their lightness differs, so that they are told apart without colour."""
INK, QUIET, LINE, GROUND = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\""


@dataclass(frozen=True)
class Group:
    """A label with one bar a series; None where there is no value."""

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Chart:
    """Horizontal bars from zero.

    Attributes:
        unit: what stands behind each figure, such as ` ms`.
        line: a value that a line is drawn at, such as 1 for ratios; None for no line.
    """

    title: str
    series: Sequence[str]
    groups: Sequence[Group]
    unit: str
    digits: int = 2
    line: float | None = None

    def svg(self) -> str:
        """The picture."""
        return "\n".join([*self._head(), *self._line(), *self._bars(), "</svg>"]) + "\n"

    @property
    def _height(self) -> int:
        return HEAD + FOOT + len(self.groups) * self._step

    @property
    def _step(self) -> int:
        return BAR * len(self.series) + GAP

    def _x(self, value: float) -> float:
        most = max(value for group in self.groups for value in group.values if value is not None)
        return LEFT + (WIDTH - LEFT - RIGHT) * value / most

    def _head(self) -> Iterator[str]:
        title = escape(self.title)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" width="{WIDTH}" '
            f'height="{self._height}" {FONT} font-size="13" role="img" aria-label="{title}">'
        )
        yield f'<rect width="{WIDTH}" height="{self._height}" rx="6" fill="{GROUND}" stroke="{LINE}"/>'
        yield f'<text x="16" y="26" font-size="15" font-weight="600" fill="{INK}">{title}</text>'
        x = 16
        for series, colour in zip(self.series, COLOURS, strict=False):
            yield f'<rect x="{x}" y="38" width="11" height="11" fill="{colour}"/>'
            yield f'<text x="{x + 17}" y="48" fill="{QUIET}">{escape(series)}</text>'
            x += 36 + round(7.2 * len(series))

    def _bars(self) -> Iterator[str]:
        for index, group in enumerate(self.groups):
            top = HEAD + index * self._step
            middle = top + BAR * len(self.series) / 2 + 4.5
            yield f'<text x="{LEFT - 10}" y="{middle:g}" text-anchor="end" fill="{INK}">{escape(group.label)}</text>'
            for number, value in enumerate(group.values):
                yield self._bar(top + number * BAR, COLOURS[number], value)

    def _line(self) -> Iterator[str]:
        if self.line is not None:
            x, end = self._x(self.line), self._height - FOOT
            yield f'<line x1="{x:.1f}" y1="{HEAD - 6}" x2="{x:.1f}" y2="{end}" stroke="{INK}" stroke-dasharray="4 3"/>'
            yield (
                f'<text x="{x:.1f}" y="{end + 16}" text-anchor="middle" fill="{QUIET}">{self.line:g}{self.unit}</text>'
            )

    def _bar(self, y: float, colour: str, value: float | None) -> str:
        if value is None:
            return f'<text x="{LEFT + 4}" y="{y + 11:g}" font-size="12" fill="{QUIET}">–</text>'
        end = self._x(value)
        figure = f"{value:.{self.digits}f}{self.unit}"
        return (
            f'<rect x="{LEFT}" y="{y + 1:g}" width="{end - LEFT:.1f}" height="{BAR - 2}" fill="{colour}"/>'
            f'<text x="{end + 6:.1f}" y="{y + 12:g}" font-size="12" fill="{INK}" stroke="{GROUND}" stroke-width="3" '
            f'paint-order="stroke">{figure}</text>'
        )
