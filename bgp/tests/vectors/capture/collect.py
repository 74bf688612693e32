"""Plays four BGP peers towards one speaker and writes down what is said.

Every line of an output file is one message: `>` sent by this script, `<` received from the speaker, then hex.
"""

import selectors
import socket
import struct
import subprocess
import sys
import time

SPEAKER, SPEAKER_V6, OUT = "10.99.0.1", "fd99::1", sys.argv[1]
AT_END = sys.argv[2]  # a shell command: refresh, then shut the sessions down


def message(kind, body):
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def attribute(flags, code, value):
    if len(value) > 255:
        return struct.pack("!BBH", flags | 0x10, code, len(value)) + value
    return struct.pack("!BBB", flags, code, len(value)) + value


def open_message(asn, router_id, capabilities):
    parameters = b"".join(struct.pack("!BBBB", 2, len(v) + 2, c, len(v)) + v for c, v in capabilities)
    my_as = asn if asn < 65536 else 23456
    return message(1, struct.pack("!BHH4sB", 4, my_as, 90, socket.inet_aton(router_id), len(parameters)) + parameters)


def update(attributes, nlri=b"", withdrawn=b""):
    return message(2, struct.pack("!H", len(withdrawn)) + withdrawn + struct.pack("!H", len(attributes)) + attributes + nlri)


def path4(*asns):
    return struct.pack("!BB", 2, len(asns)) + b"".join(struct.pack("!I", a) for a in asns)


IPV4, IPV6 = (1, b"\0\1\0\1"), (1, b"\0\2\0\1")
FOUR_OCTET = lambda asn: (65, struct.pack("!I", asn))
REST = [(2, b""), (70, b""), (6, b""), (5, b"\0\1\0\1\0\2"), (64, b"\x00\x78\0\1\1\0\0\2\1\0")]

PEERS = {
    "four": ("10.99.0.2", 65010, [IPV4, IPV6, FOUR_OCTET(65010)] + REST),
    "two": ("10.99.0.3", 65020, [IPV4, (2, b"")]),
    "internal": ("10.99.0.4", 65001, [IPV4, IPV6, FOUR_OCTET(65001)] + REST),
    # IPv4 over a session between IPv6 addresses: RFC 8950.
    "v6": ("fd99::5", 65050, [IPV4, IPV6, FOUR_OCTET(65050)] + REST),
}

COMMUNITIES = struct.pack("!IIII", 0xFDF20002, 0xFDF20001, 0xFDF20064, 0xFDF200C8)
EXTENDED = bytes.fromhex("0002fdf200000001") + bytes.fromhex("0003fdf200000002")
LARGE = struct.pack("!IIIIII", 4200000001, 1, 2, 65010, 3, 4)
V6_NEXT_HOP = socket.inet_pton(socket.AF_INET6, "fd99::2")


def feed():
    """What the external four-octet peer announces."""
    head = attribute(0x40, 1, b"\0")
    hop = attribute(0x40, 3, socket.inet_aton("10.99.0.2"))
    plain = head + attribute(0x40, 2, path4(65010, 65500)) + hop
    rich = (
        attribute(0x40, 1, b"\2")
        + attribute(0x40, 2, path4(65010, 4200000001, 65500) + struct.pack("!BBII", 1, 2, 64999, 4200000002))
        + hop
        + attribute(0x80, 4, struct.pack("!I", 77))
        + attribute(0x40, 6, b"")
        + attribute(0xC0, 7, struct.pack("!I", 4200000001) + socket.inet_aton("192.0.2.1"))
        + attribute(0xC0, 8, COMMUNITIES)
        + attribute(0xC0, 16, EXTENDED)
        + attribute(0xC0, 32, LARGE)
        + attribute(0xC0, 99, b"unknown to all")
        + attribute(0x80, 98, b"not transitive")
    )
    long_path = head + attribute(0x40, 2, path4(*([65010] + [4200000000 + i for i in range(80)]))) + hop
    v6 = b"\0\2\1\x10" + V6_NEXT_HOP + b"\0" + bytes.fromhex("3020010db80101") + bytes.fromhex("8020010db8000000000000000000000001")
    v6 = attribute(0x80, 14, v6) + head + attribute(0x40, 2, path4(65010, 65500)) + attribute(0xC0, 8, COMMUNITIES)
    return [
        update(plain, bytes.fromhex("180b0100" "180b0101" "160b0104" "200b010201")),
        update(rich, bytes.fromhex("100c01")),
        update(long_path, bytes.fromhex("080d")),
        update(v6),
        update(b""),
        update(attribute(0x80, 15, b"\0\2\1")),
    ]


def withdraw():
    v6 = b"\0\2\1" + bytes.fromhex("3020010db80101")
    return [update(b"", withdrawn=bytes.fromhex("180b0100" "100c01")), update(attribute(0x80, 15, v6))]


class Peer:
    def __init__(self, name):
        self.name = name
        self.address, asn, capabilities = PEERS[name]
        self.log = open(f"{OUT}.{name}.hex", "w")
        self.buffer = b""
        self.established = False
        self.socket = self.connect()
        router_id = f"10.99.0.{self.address[-1]}"
        self.send(open_message(asn, router_id, capabilities))

    def connect(self):
        deadline = time.time() + 30
        while True:
            v6 = ":" in self.address
            s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
            s.bind((self.address, 0))
            try:
                s.connect((SPEAKER_V6 if v6 else SPEAKER, 179))
                return s
            except OSError:
                if time.time() > deadline:
                    raise
                time.sleep(0.2)

    def send(self, octets):
        self.log.write(f"> {octets.hex()}\n")
        self.socket.sendall(octets)

    def read(self):
        """False at the end of the stream."""
        octets = self.socket.recv(65536)
        self.buffer += octets
        while len(self.buffer) >= 19:
            length = struct.unpack("!H", self.buffer[16:18])[0]
            if len(self.buffer) < length:
                break
            received, self.buffer = self.buffer[:length], self.buffer[length:]
            kind = received[18]
            if kind != 4 or not self.established:
                self.log.write(f"< {received.hex()}\n")
            if kind == 1:
                self.send(message(4, b""))
            if kind == 4:
                self.established = True
        return bool(octets)


def run(peers, until):
    selector = selectors.DefaultSelector()
    for peer in peers:
        selector.register(peer.socket, selectors.EVENT_READ, peer)
    while (left := until - time.time()) > 0 and selector.get_map():
        for key, _ in selector.select(left):
            try:
                alive = key.data.read()
            except ConnectionError:
                alive = False
            if not alive:
                selector.unregister(key.fileobj)


peers = [Peer(name) for name in PEERS]
run(peers, time.time() + 6)
for octets in feed():
    peers[0].send(octets)
run(peers, time.time() + 8)
for octets in withdraw():
    peers[0].send(octets)
run(peers, time.time() + 8)
subprocess.run(AT_END, shell=True)
run(peers, time.time() + 6)
for peer in peers:
    peer.log.close()
