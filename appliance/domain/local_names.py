"""Names that only the local network resolves, because nobody can register them."""

from __future__ import annotations

# RFC 6762 (.local), RFC 8375 (.home.arpa), ICANN's reservation (.internal), and what routers hand out.
# `.box` is a public domain, of which only fritz.box is local.
ENDINGS = (".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain", ".fritz.box")


def is_local(name: str) -> bool:
    """Return whether a host name, in lower case and without a trailing dot, is a name of the LAN."""
    return "." not in name or name == "fritz.box" or name.endswith(ENDINGS)
