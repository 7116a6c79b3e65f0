"""Characters that reorder a line are shown by their code on every page."""

from __future__ import annotations

import unicodedata

from markupsafe import Markup

from web.page.rendering import templates


def rendered(template: str, **context: object) -> str:
    return templates().from_string(template).render(**context)


def test_every_character_that_reorders_the_line_is_shown_by_its_code() -> None:
    reordering = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    found = [chr(c) for c in range(0x110000) if unicodedata.bidirectional(chr(c)) in reordering]
    assert len(found) == 9
    for character in found:
        shown = rendered("{{ text }}", text=f"+33 6{character}12")
        assert shown == f"+33 6\u27e8U+{ord(character):04X}\u27e912"


def test_right_to_left_text_and_its_marks_are_as_written() -> None:
    text = "\u05e9\u05dc\u05d5\u05dd\u200f 12:30 \u0633\u0644\u0627\u0645"
    assert rendered("{{ text }}", text=text) == text


def test_it_is_still_escaped_and_numbers_and_markup_stay() -> None:
    assert rendered("{{ text }}", text="<b>\u202e") == "&lt;b&gt;\u27e8U+202E\u27e9"
    assert rendered("{{ n }}{{ made }}", n=7, made=Markup("<b>")) == "7<b>"


def test_a_field_keeps_what_was_typed() -> None:
    assert rendered('<input value="{{ text|e }}">', text="a\u202eb") == '<input value="a\u202eb">'
