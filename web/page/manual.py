"""The owner's manual, on the box itself: docs/page.md and its French version."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from litestar import Response, get
from markupsafe import Markup

from appliance.core.i18n import SOURCE, Language
from web.page import markdown
from web.page.rendering import page
from web.page.visitor import Seen

# Links to docs/page.md and docs/page.fr.md, of which a package has the files.
_TEXTS = Path(__file__).parent / "manual_texts"


@get("/manual")
async def manual(request: Seen) -> Response[str]:
    """Show the manual in the visitor's language."""
    text = await asyncio.to_thread(rendered, request.visitor.language.code)
    return page(request, "manual.html", text=text)


@cache
def rendered(language: Language) -> Markup:
    """Return the manual as HTML; in English where there is no other."""
    file = _TEXTS / language
    if not file.exists():
        file = _TEXTS / SOURCE
    return markdown.document(file.read_text("utf-8"), _on_the_box)


def _on_the_box(target: str) -> str | None:
    """Return a link within the manual; the other guides are not on the box."""
    return target if target.startswith("#") else None
