"""The machine on the other side of the scenario's access point: hands out an address, and is a client of the box.

The scenario runs this file inside the box, in a network namespace that has the access point's radio and nothing
else: what it says reaches the gateway over the air or not at all. Standard library alone.
"""

from __future__ import annotations

import http.client
import socket
import struct
import sys

OWN, OFFERED, MASK = "192.168.77.1", "192.168.77.2", "255.255.255.0"
MDNS = ("224.0.0.251", 5353)
COOKIE = b"\x63\x82\x53\x63"  # RFC 2131, 3
MESSAGE_TYPE, DISCOVER, OFFER, REQUEST, ACK = 53, 1, 2, 3, 5


def message_type(request: bytes) -> int:
    """Return the DHCP message type of a request (RFC 2132, 9.6), 0 if it has none."""
    options = request[240:] if request[236:240] == COOKIE else b""
    while options and options[0] != 255:
        if options[0] == 0:
            options = options[1:]
            continue
        if options[0] == MESSAGE_TYPE:
            return options[2]
        options = options[2 + options[1] :]
    return 0


def reply(request: bytes, kind: int) -> bytes:
    """Return the answer to a DHCP request: the one address that there is, for an hour."""
    own = socket.inet_aton(OWN)
    head = bytes((2, *request[1:4])) + request[4:8] + b"\0\0" + request[10:12]
    addresses = b"\0" * 4 + socket.inet_aton(OFFERED) + own + b"\0" * 4
    options = bytes((MESSAGE_TYPE, 1, kind, 54, 4)) + own + bytes((1, 4)) + socket.inet_aton(MASK)
    options += bytes((51, 4)) + struct.pack(">I", 3600) + b"\xff"
    return head + addresses + request[28:44] + b"\0" * 192 + COOKIE + options


def serve_dhcp(interface: str) -> None:
    """Answer DHCP requests until the process is ended."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        line.bind(("", 67))
        while True:
            request = line.recv(1500)
            if kind := {DISCOVER: OFFER, REQUEST: ACK}.get(message_type(request)):
                line.sendto(reply(request, kind), ("255.255.255.255", 68))


def question(name: str) -> bytes:
    """Return an mDNS query for the IPv4 address of a name, by a one-shot querier (RFC 6762, 5.1)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 1, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def address(answer: bytes) -> str:
    """Return the first IPv4 address among the answers of a DNS message, "" if it has none."""
    _, _, questions, answers = struct.unpack(">4H", answer[:8])
    position = 12
    for _ in range(questions):
        position = _after_name(answer, position) + 4
    for _ in range(answers):
        position = _after_name(answer, position)
        kind, _, _, length = struct.unpack(">2HIH", answer[position : position + 10])
        position += 10 + length
        if kind == 1:
            return socket.inet_ntoa(answer[position - 4 : position])
    return ""


def _after_name(message: bytes, position: int) -> int:
    while length := message[position]:
        if length >= 0xC0:  # a pointer ends the name
            return position + 2
        position += 1 + length
    return position + 1


def resolve(name: str) -> str:
    """Ask for the address of a name by multicast. Raises TimeoutError if nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(OWN))
        line.settimeout(10)
        line.sendto(question(name), MDNS)
        while not (found := address(line.recv(9000))):
            pass
    return found


def request(method: str, name: str, path: str, body: str, headers: list[str]) -> str:
    """Send an HTTP request to a name in .local; return the status and the answer, each on a line of its own."""
    connection = http.client.HTTPConnection(resolve(name), timeout=60)
    fields = {"Host": name, **dict(header.split(": ", 1) for header in headers)}
    connection.request(method, path, body.encode() or None, fields)
    answer = connection.getresponse()
    return f"{answer.status}\n{answer.read().decode()}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["dhcp", interface]:
            serve_dhcp(interface)
        case [method, name, path, body, *headers]:
            print(request(method, name, path, body, headers))
