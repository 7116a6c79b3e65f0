"""Markdown of our own texts as HTML, without raw HTML and with links inside the box only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # imported at first use: most boxes never show a long text

    options = {"html": False, "typographer": True}  # curly quotes and apostrophes
    return MarkdownIt("commonmark", options).enable(["table", "smartquotes"])


def inline(text: str) -> Markup:
    """Return a text of one paragraph: its code and emphasis."""
    return Markup(_parser().renderInline(text.replace("\n", " ")))


def document(text: str, link: Callable[[str], str | None] = lambda _: None) -> Markup:
    """Return a page. `link` turns a link's target into one on this box; None leaves its words alone.

    Headings get an `id`, tables scroll, and images are left out: a page on the box shows what they picture.
    """
    parser = _parser()
    tokens = parser.parse(text)
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(tokens[place + 1].content))
        for child in token.children or ():
            if child.type == "link_open":
                target = link(str(child.attrGet("href")))
                child.attrs = {"href": target} if target else {"class": "elsewhere"}
        if token.children:
            token.children = [child for child in token.children if child.type != "image"]
    html: str = parser.renderer.render(tokens, parser.options, {})
    html = html.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    html = html.replace("</table>", "</table></div>").replace("<pre>", '<pre tabindex="0">')
    return Markup(html.replace("<p></p>\n", ""))


def anchor(heading: str) -> str:
    """Return the id of a heading, as GitHub makes it."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
