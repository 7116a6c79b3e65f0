"""QR codes as SVG in the page, so that a phone or a second computer takes over what is long to type."""

from __future__ import annotations

import io

from markupsafe import Markup


def qr(text: str) -> Markup:
    """Return a QR code as an SVG element, black on white in light and dark alike."""
    import segno  # used on two pages of a box's life: 3 MiB that no start needs

    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out,
        kind="svg",
        xmldecl=False,
        svgns=True,
        border=3,
        omitsize=True,
        light="#fff",
        dark="#000",
    )
    svg = out.getvalue().decode("utf-8").strip()
    return Markup(svg.replace('class="segno"', 'class="qr"', 1))
