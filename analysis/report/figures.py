"""Figures inside a page: as SVG whose names are its own, or as a picture where that is shorter."""

import base64
import re
import tempfile
from pathlib import Path

from markupsafe import Markup, escape

from zz.lab.view import Figure

MOST = 2_000_000  # bytes of an SVG inside a page


def inline(figure: Figure, name: str) -> Markup:
    """A figure as HTML. name: no other figure of the page has it

    Raises what its `draw` raises.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        figure.draw(path)
        if path.stat().st_size <= MOST:
            found = own_names(path.read_text(encoding="utf-8"), name)
            return Markup(
                f'<div id="{name}" class="drawn" role="img" aria-label="{escape(figure.caption)}">{found}</div>'
            )
        path = path.with_suffix(".png")
        figure.draw(path)
        data = base64.b64encode(path.read_bytes()).decode()
    return Markup(f'<img class="drawn" alt="{escape(figure.caption)}" src="data:image/png;base64,{data}">')


def own_names(svg: str, name: str) -> str:
    """An SVG without its prolog, whose ids begin with `name`, as do what refers to them, and whose style is its own."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    return re.sub(r"(<style[^>]*>)\s*\*\s*\{", rf"\1#{name} * {{", body)


__all__ = ["MOST", "inline", "own_names"]
