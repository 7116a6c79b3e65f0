"""The admin without a browser: the same forms over plain HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import requests

PASSWORD = "une phrase bien longue"
REQUEST_SECONDS = 120.0
TOKEN = re.compile(r'name="form_token" value="([0-9a-f]+)"')

Fields = Mapping[str, str | Sequence[str]]


class Visit:
    """One browser session."""

    def __init__(self, url: str, language: str = "en") -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Accept-Language"] = language

    def get(self, path: str, **more: object) -> requests.Response:
        return self.session.get(self.url + path, timeout=REQUEST_SECONDS, **more)  # type: ignore[arg-type]

    def token(self, page: str) -> str:
        """The token that the forms of this page carry."""
        found = TOKEN.search(self.get(page).text)
        assert found, f"{page} has no form"
        return found[1]

    def post(
        self, path: str, fields: Fields, *, page: str, follow: bool = True
    ) -> requests.Response:
        """Send a form that stands on `page`."""
        return self.session.post(
            self.url + path,
            data={"form_token": self.token(page), **fields},
            timeout=REQUEST_SECONDS,
            allow_redirects=follow,
        )

    def claim(self, password: str = PASSWORD, code: str = "") -> requests.Response:
        fields = {"password": password, "again": password, "code": code}
        return self.post("/claim", fields, page="/claim")

    def login(self, password: str = PASSWORD) -> requests.Response:
        return self.post("/login", {"password": password, "next": "/"}, page="/login")
