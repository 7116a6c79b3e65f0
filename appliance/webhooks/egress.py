"""Egress rules: which URLs and addresses a webhook may reach. Pure.

A URL is checked when it is configured, as far as the URL itself shows its target. The resolved address is
checked before each connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from httpx import (
    URL,
    InvalidURL,
)  # the same parser as for the request, so that the two cannot disagree

from appliance.core.i18n import Text, _
from appliance.domain.errors import ApiError
from appliance.domain.local_names import is_local

Address = IPv4Address | IPv6Address


class Place(Enum):
    """The kinds of addresses that the egress rules distinguish."""

    BOX = "box"  # loopback, or an address of one of the box's interfaces
    LAN = "lan"  # private and link-local
    PUBLIC = "public"
    SHARED = (
        "shared"  # RFC 6598: behind the NAT of a carrier or overlay network, neither LAN nor public
    )
    METADATA = "metadata"  # metadata services, which give out credentials
    NOWHERE = "nowhere"  # not one host: unspecified, multicast, reserved, tunnelled or mapped


# Addresses of cloud metadata services. The two /24 contain all of AWS's.
_METADATA = [
    ip_network(text)
    for text in (
        *("169.254.169.0/24", "169.254.170.0/24"),  # AWS, GCP, Azure, OpenStack, Hetzner, …
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),  # Alibaba, Oracle, Azure
        *("fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128"),  # AWS, GCP, Scaleway
        "fe80::a9fe:a9fe/128",  # OpenStack
    )
]
_LAN = [
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10"),
    )
]
_SHARED = ip_network("100.64.0.0/10")
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits
# Forms that embed another address, which no legitimate receiver needs.
_CARRIERS = [
    ip_network(text)
    for text in ("::/96", "::ffff:0:0/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
]
_UNSPECIFIED = ip_network("0.0.0.0/8")  # RFC 1122: "this host"; Linux connects 0.0.0.0 to itself


def place(address: Address, is_own: Callable[[Address], bool]) -> Place:
    """Classify an address. `is_own` returns whether an interface of the box has it."""
    bare = _without_zone(address)
    if isinstance(bare, IPv6Address) and bare.ipv4_mapped is not None:
        return (
            Place.NOWHERE
        )  # first, because `is_loopback` looks into mapped addresses since Python 3.13
    if bare.is_loopback:
        return Place.BOX
    if _within(bare, *_METADATA):
        return Place.METADATA
    if isinstance(bare, IPv6Address):
        if bare in _NAT64:
            inner = place(IPv4Address(int(bare) & 0xFFFF_FFFF), is_own)
            return inner if inner in (Place.PUBLIC, Place.METADATA, Place.BOX) else Place.NOWHERE
        if _within(bare, *_CARRIERS):
            return Place.NOWHERE
    if bare.is_multicast or _within(bare, _UNSPECIFIED):
        return Place.NOWHERE
    if is_own(address):
        return Place.BOX
    if _within(bare, *_LAN):
        return Place.LAN
    if _within(bare, _SHARED):
        return Place.SHARED
    return Place.PUBLIC if bare.is_global else Place.NOWHERE


def _within(address: Address, *networks: IPv4Network | IPv6Network) -> bool:
    return any(address in network for network in networks)


def _without_zone(address: Address) -> Address:
    """Return `fe80::1%eth0` without its zone, because no network contains an address with one."""
    if isinstance(address, IPv6Address) and address.scope_id:
        return IPv6Address(int(address))
    return address


TO_THE_BOX = _(
    "the URL leads to the box itself, which its owner can allow with the setting webhook.allow_loopback"
)
TO_METADATA = _("the URL leads to a metadata service")
TO_NOWHERE = _("the address is not one of a host that can be called")
HTTP_BEYOND_LAN = _("http is only allowed to the local network; use https")
NO_URL = _("must be a complete http or https URL")
WITH_PASSWORD = _("must contain neither a user name nor a password")
ODD_NUMBER = _("the IP address must be written in its usual form (192.168.1.20)")

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_BOX_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}
_METADATA_NAMES = {"metadata", "metadata.google.internal", "instance-data"}


class Egress:
    """The egress rules of this box. `allow_loopback` permits calls to the box itself."""

    def __init__(self, is_own: Callable[[Address], bool], *, allow_loopback: bool = False) -> None:
        self._is_own = is_own
        self._allow_loopback = allow_loopback

    def check_url(self, text: str, field: str = "webhook_url") -> None:
        """Raise INVALID_WEBHOOK_URL for a URL that is not allowed as written."""
        reason = self.objection(text)
        if reason is not None:
            raise ApiError("INVALID_WEBHOOK_URL", {"field": field, "reason": reason})

    def objection(self, text: str) -> Text | None:
        """Return why a URL is not allowed as written; None if it is allowed."""
        try:
            url = URL(text)
        except (InvalidURL, ValueError):  # ValueError: labels that are not valid IDNA
            return NO_URL
        if url.scheme not in ("http", "https") or not _fits(url.port):
            return NO_URL
        if url.userinfo:
            return WITH_PASSWORD
        host = bare_host(url)
        literal = address_in(host)
        if literal is not None:
            return self.objection_to(url.scheme, literal)
        labels = host.split(".")
        if ":" in host or not all(_LABEL.fullmatch(label) for label in labels) or len(host) > 253:
            return NO_URL
        # inet_aton takes a host that ends in a number for an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1.
        if _NUMBER.fullmatch(labels[-1]):
            return ODD_NUMBER
        return self._objection_to_name(url.scheme, host, labels)

    def _objection_to_name(self, scheme: str, host: str, labels: list[str]) -> Text | None:
        if host in _METADATA_NAMES:
            return TO_METADATA
        if host in _BOX_NAMES or labels[-1] == "localhost":
            return None if self._allow_loopback else TO_THE_BOX
        # Only a hint at once: what the name resolves to is checked each time before connecting.
        if scheme == "http" and not is_local(host):
            return HTTP_BEYOND_LAN
        return None

    def objection_to(self, scheme: str, address: Address) -> Text | None:
        """Return why connecting to an address is not allowed; None if it is allowed."""
        found = place(address, self._is_own)
        if found is Place.BOX:
            return None if self._allow_loopback else TO_THE_BOX
        if found is Place.METADATA:
            return TO_METADATA
        if found is Place.NOWHERE:
            return TO_NOWHERE
        return HTTP_BEYOND_LAN if scheme == "http" and found is not Place.LAN else None


def bare_host(url: URL) -> str:
    """Return the host of a URL for the resolver and `address_in`: ASCII, without a trailing dot."""
    host = url.raw_host.decode("ascii").lower()
    if ":" in host:
        return host.replace("%25", "%")  # RFC 6874: how a URL writes the zone of fe80::1%eth0
    return host.removesuffix(".")


def address_in(host: str) -> Address | None:
    """Return the address that a host is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _fits(port: int | None) -> bool:
    return port is None or 0 < port < 65536
