"""Formats figures, the same in every output format."""

from __future__ import annotations

import math

MISSING = "–"
"""Shown where there is no figure."""

_MEMORY = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def plain(value: float | None, digits: int = 3) -> str:
    """Three significant digits without an exponent: `0.312`, `61.2`; more where the whole part has more: `1,234`."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return _not_finite(value)
    if value == 0:
        return "0"
    # Round first: 0.9996 becomes 1.00, with one decimal less.
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{min(decimals, 12)}f}"


def milliseconds(value: float | None) -> str:
    """`0.312 ms`."""
    return MISSING if value is None else f"{plain(value)} ms"


def ratio(value: float | None) -> str:
    """`1.14×`: two decimals below 10, else three significant digits."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return _not_finite(value)
    return f"{value:.2f}×" if abs(value) < 9.995 else f"{plain(value)}×"


def percent(value: float | None) -> str:
    """A share of one as per cent: `3.4 %`."""
    return MISSING if value is None else f"{value * 100:.1f} %" if math.isfinite(value) else _not_finite(value)


def memory(value: float | None) -> str:
    """Bytes in powers of 1000, as device tools and papers count them: `44 MB`, `5.1 GB`."""
    if value is None:
        return MISSING
    for size, unit in _MEMORY:
        if abs(value) >= size * 0.9995:
            return f"{plain(value / size)} {unit}"
    return f"{value:.0f} B"


def error(value: float | None) -> str:
    """An error of a comparison: `2.1e-03`, or `0`."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return _not_finite(value)
    return "0" if value == 0 else f"{value:.1e}"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 site`, `2 sites`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
