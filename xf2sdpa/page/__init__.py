"""Self-contained HTML pages with tables and charts, for verify and bench.

`render` fills a template that extends `page/base.html`. Its values are plain data: `tables.Table`, `charts.BarChart`,
`charts.ErrorPlot`; `page/parts.html` has a macro for each. A page loads no other files, needs no JavaScript, and
follows the reader's light or dark setting. Only `render` imports Jinja2.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """Render a page.

    Args:
        template: path inside this package, such as `verify/report/page.html`; it extends `page/base.html`.
        values: the template's variables. All text is escaped, as reports contain the user's code.

    Raises:
        jinja2.UndefinedError: the template uses a variable that is not among the values.
    """
    return _environment().get_template(template).render(values) + "\n"


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - from the extra `verify`; only pages need it

    from xf2sdpa import __version__  # noqa: PLC0415
    from xf2sdpa.page import numbers  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xf2sdpa", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(tool_version=__version__, numbers=numbers)
    environment.filters["prose"] = prose
    return environment


def prose(text: str) -> Markup:
    """Escaped text, with text in backticks as code."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with Jinja2

    pieces = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces)
    )
