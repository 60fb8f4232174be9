"""The text of a request as a page, for a look at it in a browser: light, dark.

    python -m tests.bot.page BODY.md OUT && chromium --headless --screenshot=light.png OUT/light.html

The style is near to GitHub's: what is shown is what its Markdown makes of the text.
"""

from __future__ import annotations

import sys
from pathlib import Path

from markdown_it import MarkdownIt

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 880px; margin: 24px auto; padding: 0 16px }
code { font: 85%/1.5 ui-monospace, monospace; padding: .1em .4em; border-radius: 6px }
pre { padding: 16px; overflow: auto; border-radius: 6px }
pre code { padding: 0; background: none !important }
table { border-collapse: collapse; display: block; overflow: auto }
td, th { padding: 6px 13px; border: 1px solid }
a { text-decoration: none }
.light { background: #fff; color: #1f2328 } .light code, .light pre { background: #eff1f3 }
.light td, .light th { border-color: #d1d9e0 } .light a { color: #0969da }
.dark { background: #0d1117; color: #f0f6fc } .dark code, .dark pre { background: #262c36 }
.dark td, .dark th { border-color: #3d444d } .dark a { color: #4493f8 }
"""


def html(body: str) -> str:
    """What GitHub's flavour of Markdown makes of a text."""
    rendered: str = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(body)
    return rendered


def page(body: str, theme: str) -> str:
    return f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style><body class={theme}>{html(body)}"


if __name__ == "__main__":
    for theme in ("light", "dark"):
        made = page(Path(sys.argv[1]).read_text("utf-8"), theme)
        (Path(sys.argv[2]) / f"{theme}.html").write_text(made, "utf-8")
