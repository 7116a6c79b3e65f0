"""Egress rules: tables of URLs and addresses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from appliance.core.i18n import Text
from appliance.domain.errors import ApiError
from appliance.webhooks.egress import (
    HTTP_BEYOND_LAN,
    NO_URL,
    ODD_NUMBER,
    TO_METADATA,
    TO_NOWHERE,
    TO_THE_BOX,
    WITH_PASSWORD,
    Address,
    Egress,
    Place,
    place,
)

OWN = {ip_address("192.168.1.10"), ip_address("93.184.216.34"), ip_address("fe80::10%eth0")}
RULES = Egress(lambda address: address in OWN)
LOOSE = Egress(lambda address: address in OWN, allow_loopback=True)


def at(text: str) -> Place:
    return place(ip_address(text), lambda address: address in OWN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, Place.BOX) for text in ("127.0.0.1", "127.255.0.3", "::1", "192.168.1.10")),
        *((text, Place.BOX) for text in ("93.184.216.34", "fe80::10%eth0", "64:ff9b::7f00:1")),
        *((text, Place.LAN) for text in ("10.0.0.1", "172.16.0.1", "172.31.255.254")),
        *(
            (text, Place.LAN)
            for text in ("192.168.1.11", "169.254.7.7", "fd12::1", "fe80::11%eth0")
        ),
        *((text, Place.PUBLIC) for text in ("8.8.8.8", "172.32.0.1", "2606:4700::1111")),
        ("64:ff9b::808:808", Place.PUBLIC),
        ("100.64.0.1", Place.SHARED),
        *((text, Place.METADATA) for text in ("169.254.169.254", "169.254.170.2")),
        *((text, Place.METADATA) for text in ("100.100.100.200", "192.0.0.192", "168.63.129.16")),
        *((text, Place.METADATA) for text in ("fd00:ec2::254", "fe80::a9fe:a9fe%eth0")),
        ("64:ff9b::a9fe:a9fe", Place.METADATA),
        *((text, Place.NOWHERE) for text in ("0.0.0.0", "0.1.2.3", "224.0.0.251", "240.0.0.1")),
        *((text, Place.NOWHERE) for text in ("255.255.255.255", "198.18.0.1", "192.0.2.1", "::")),
        *((text, Place.NOWHERE) for text in ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1")),
        *((text, Place.NOWHERE) for text in ("2002:7f00:1::", "2001:0:7f00:1::", "ff02::1")),
        *((text, Place.NOWHERE) for text in ("2001:db8::1", "64:ff9b::c0a8:10b", "100::1")),
        ("64:ff9b:1::7f00:1", Place.NOWHERE),
    ],
)
def test_addresses_are_classified(text: str, expected: Place) -> None:
    assert at(text) is expected


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/x", "https://EXAMPLE.com:8443/a?b=c", "https://münchen.de/"),
        *("https://8.8.8.8/", "https://[2606:4700::1111]/", "https://192.168.1.20:9000/hook"),
        *("https://100.64.3.4/", "https://nas/", "https://nas.local./", "https://example.com./"),
        *("http://192.168.1.20/hook", "http://10.1.2.3:9000/", "http://169.254.3.4/"),
        *("http://nas/", "http://nas:8080/x", "http://nas.local/", "http://home_server/"),
        *(
            "http://n8n.lan/x",
            "http://ha.home/",
            "http://ha.home.arpa:8123/",
            "http://nas.internal/",
        ),
        *(
            "http://nas.fritz.box/",
            "http://fritz.box/",
            "http://nas.localdomain/",
            "http://NAS.LAN./",
        ),
        *("http://[fd12::5]:81/", "http://[fe80::5%25eth0]/", "http://172.20.0.9/"),
    ],
)
def test_https_may_reach_any_address_and_http_only_the_lan(url: str) -> None:
    assert RULES.objection(url) is None
    assert LOOSE.objection(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *((u, HTTP_BEYOND_LAN) for u in ("http://example.com/", "http://8.8.8.8/", "http://a.b/")),
        *((u, HTTP_BEYOND_LAN) for u in ("http://100.64.1.1/", "http://nas.local.evil.com/")),
        *(
            (u, HTTP_BEYOND_LAN)
            for u in ("http://evil.box/", "http://notfritz.box/", "http://x.lan.com/")
        ),
        *((u, HTTP_BEYOND_LAN) for u in ("http://[2606:4700::1111]/", "http://lan.example/")),
        *((u, TO_METADATA) for u in ("http://169.254.169.254/latest", "https://169.254.169.254/")),
        *((u, TO_METADATA) for u in ("https://metadata.google.internal/", "http://metadata/")),
        *((u, TO_METADATA) for u in ("https://[fd00:ec2::254]/", "https://[64:ff9b::a9fe:a9fe]/")),
        *((u, TO_NOWHERE) for u in ("https://0.0.0.0/", "http://224.0.0.251/", "https://[::]/")),
        *((u, TO_NOWHERE) for u in ("https://[::ffff:192.168.1.20]/", "http://[::ffff:7f00:1]/")),
        *((u, TO_NOWHERE) for u in ("http://255.255.255.255/", "https://[2002:7f00:1::]/")),
        *((u, ODD_NUMBER) for u in ("http://2130706433/", "http://0x7f000001/", "http://127.1/")),
        *((u, ODD_NUMBER) for u in ("https://0177.1/", "https://0x7f.0.0.1/", "http://1/")),
        *(
            (u, NO_URL)
            for u in ("https://0177.0.0.1/", "https://127.0.0.01/", "https://192.168.1.256/")
        ),
        *((u, ODD_NUMBER) for u in ("https://example.0x7f/", "https://a.b.1./", "https://0x/")),
        *(
            (u, WITH_PASSWORD)
            for u in ("https://me:secret@example.com/", "https://me@example.com/")
        ),
        *((u, WITH_PASSWORD) for u in ("https://example.com\\@127.0.0.1/",)),
        *((u, NO_URL) for u in ("ftp://example.com/", "https:///x", "https://", "example.com")),
        *((u, NO_URL) for u in ("https://a..b/", "https://.a/", "https://a%2eb/", "https://-a/")),
        *((u, NO_URL) for u in ("https://a:99999/", "https://a:0/", "https://[::1/", "https://*/")),
        *((u, NO_URL) for u in ("https://１２７.0.0.1/", "https://a b/", "")),
        *((u, NO_URL) for u in (f"https://{'a' * 64}/", "https://[v1.a]/", "https://a:b:c/")),
    ],
)
def test_addresses_that_no_setting_allows(url: str, reason: Text) -> None:
    assert RULES.objection(url) == reason
    assert LOOSE.objection(url) == reason


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "https://127.0.0.1:8080/", "http://127.9.9.9/", "https://[::1]/"),
        *("http://localhost/", "https://LOCALHOST/", "https://localhost./", "http://a.localhost/"),
        *("http://127。0。0。1/", "https://192.168.1.10/", "http://192.168.1.10:8080/x"),
        *("https://93.184.216.34/", "https://ip6-localhost/", "https://localhost.localdomain/"),
        *("https://[0:0:0:0:0:0:0:1]/", "https://127.0.0.1./", "https://[64:ff9b::7f00:1]/"),
    ],
)
def test_the_box_itself_is_reached_only_by_a_setting(url: str) -> None:
    assert RULES.objection(url) == TO_THE_BOX
    assert LOOSE.objection(url) is None


def test_a_refusal_names_the_field_and_says_why_in_both_languages() -> None:
    with pytest.raises(ApiError) as caught:
        RULES.check_url("http://example.com/", "url")
    assert caught.value.code == "INVALID_WEBHOOK_URL"
    assert caught.value.details == {"field": "url", "reason": HTTP_BEYOND_LAN}
    RULES.check_url("https://example.com/")


@pytest.mark.parametrize("allow_loopback", [True, False])
def test_the_resolved_address_of_a_name_is_checked(allow_loopback: bool) -> None:
    def own(address: Address) -> bool:
        return address in OWN

    rules = Egress(own, allow_loopback=allow_loopback)
    assert rules.objection("http://nas/") is None
    assert rules.objection_to("http", ip_address("8.8.8.8")) == HTTP_BEYOND_LAN
    assert rules.objection_to("https", ip_address("8.8.8.8")) is None
    assert rules.objection_to("https", ip_address("169.254.169.254")) == TO_METADATA
    to_box = rules.objection_to("https", ip_address("192.168.1.10"))
    assert to_box == (None if allow_loopback else TO_THE_BOX)
