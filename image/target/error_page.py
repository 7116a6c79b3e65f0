"""Serve the page of a box whose data partition is beyond repair. Uses the standard library alone."""

from __future__ import annotations

import html
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOG = Path("/run/zimbox/data-broken")
PAGE = """<!doctype html><html lang="fr"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>ZimBox</title>
<style>body{{font:1.1em/1.5 sans-serif;max-width:38em;margin:2em auto;padding:0 1em}}
pre{{white-space:pre-wrap;background:#eee;padding:1em}}</style>
<h1>La carte est abîmée</h1>
<p>La partition des données de ce ZimBox ne se répare plus toute seule. Aucun SMS n'est envoyé. Rien n'a été
effacé : retirez la carte, gardez-la, et démarrez avec une carte neuve et votre sauvegarde. Pour essayer de la
réparer sur un ordinateur : chapitre « Recovery » du manuel.</p>
<h1 lang="en">The card is damaged</h1>
<p lang="en">The data partition of this ZimBox is beyond automatic repair. No SMS is sent. Nothing was erased:
take the card out, keep it, and start with a new card and your backup. How to try a repair on a computer:
chapter "Recovery" of the manual.</p>
<pre>{log}</pre></html>"""
ANSWER = (
    b'{"success":false,"error":{"code":"DATA_BROKEN","message":'
    b'"The data partition is beyond repair; see the page of this box."}}'
)


class Handler(BaseHTTPRequestHandler):
    """Answer every path with 503: JSON for programs, the page for browsers."""

    def _answer(self) -> None:
        person = "text/html" in self.headers.get("Accept", "")
        log = html.escape(LOG.read_text(errors="replace")[-4000:]) if LOG.exists() else ""
        body = PAGE.format(log=log).encode() if person else ANSWER
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header(
            "Content-Type", "text/html; charset=utf-8" if person else "application/json"
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Do not log requests."""


def serve(address: tuple[str, int]) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(address, Handler)


if __name__ == "__main__":
    serve(("", 80)).serve_forever()
