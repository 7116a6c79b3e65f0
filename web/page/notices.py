"""Results of forms, kept on the server and shown once, so that a URL cannot contain a text that the page shows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

MOST = 200  # browsers with a notice that they have not fetched


class Notice(msgspec.Struct, frozen=True):
    """The result of a form: what was wrong and where, with what was typed; or that it was done."""

    error: str = ""
    field: str = ""  # the field that the error is about
    form: str = ""  # the form on the page, where several have the same fields
    typed: Mapping[str, str] = {}
    saved: bool = False
    answer: str = ""  # the response of the operator or of a webhook's receiver

    def value(self, name: str, stored: object, form: str = "") -> object:
        """Return what was typed into a field, else what is stored."""
        return self.typed.get(name, stored) if self.error and form == self.form else stored

    def ticked(self, name: str, stored: bool, form: str = "") -> bool:
        """Return whether a box was ticked, else whether it is in what is stored."""
        return name in self.typed if self.error and form == self.form else stored

    def at(self, name: str, form: str = "") -> str:
        """Return the error of a field; "" if it has none."""
        return self.error if name == self.field and form == self.form else ""

    @property
    def general(self) -> str:
        """The error, unless it is shown at its field."""
        return "" if self.field else self.error


NOTHING = Notice()


class Notices:
    """The notices that browsers have not fetched yet, by form cookie and page."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, Notice]] = OrderedDict()

    def put(self, browser: str, path: str, notice: Notice) -> None:
        """Keep a notice for the next showing of a page."""
        self._kept.pop(browser, None)
        self._kept[browser] = (path, notice)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def take(self, browser: str, path: str) -> Notice:
        """Return the notice for a page, once."""
        where, notice = self._kept.get(browser, ("", NOTHING))
        if where != path:
            return NOTHING
        del self._kept[browser]
        return notice
