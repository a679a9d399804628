"""TLS connections to a real server, one face for all stacks.

    InMemory             OpenSSL of the cryptography package: the test puts records and segments together
    Reference            OpenSSL for the handshake, then tests/reference: it can say anything at all
    GnuTLS, SClient      gnutls-cli and openssl s_client, pipes of plaintext as child processes
    TLSLite              tlslite-ng
"""

import os
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from camfleet.core.tls.alert import alert_name
from camfleet.supervisor.tls.export import SUITES, key_block
from OpenSSL import SSL

from tests.kit.tls import key_update
from tests.kit.tls_client import BundledClient
from tests.kit.wait import wait_for
from tests.reference import tls_record
from tests.reference.tls_record import ALERT, APPLICATION_DATA, HANDSHAKE, TLS_1_3, Direction

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore where that still exists
    from tlslite.api import HandshakeSettings, TLSConnection  # type: ignore[import-untyped]  # it has no types

TIMEOUT_S = 10.0
WARNING, FATAL = 1, 2
CLOSE_NOTIFY = 0


class Flavour(NamedTuple):
    """A version and a suite, in the words of each library."""

    name: str
    version: int
    openssl: str
    gnutls: str
    tlslite: str

    @property
    def is_1_3(self) -> bool:
        return self.version == SSL.TLS1_3_VERSION


_1_3, _1_2 = SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION
FLAVOURS = [
    Flavour("1.3-AES-128", _1_3, "TLS_AES_128_GCM_SHA256", "AES-128-GCM", "aes128gcm"),
    Flavour("1.3-AES-256", _1_3, "TLS_AES_256_GCM_SHA384", "AES-256-GCM", "aes256gcm"),
    Flavour("1.3-ChaCha20", _1_3, "TLS_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "chacha20-poly1305"),
    Flavour("1.2-AES-128", _1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", "AES-128-GCM", "aes128gcm"),
    Flavour("1.2-AES-256", _1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", "AES-256-GCM", "aes256gcm"),
    Flavour("1.2-ChaCha20", _1_2, "ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20-POLY1305", "chacha20-poly1305"),
]
FLAVOURS_1_3 = [flavour for flavour in FLAVOURS if flavour.is_1_3]


class Wire(Protocol):
    def send(self, *chunks: bytes) -> None:
        """Each chunk in records of its own; all in one segment where the stack lets us."""

    def receive(self) -> bytes:
        """At least one byte of plaintext; empty at close_notify. Raises EOFError at any other end."""

    def update_key(self, *, request: bool) -> None:
        """KeyUpdate; `request`: the server shall do it too."""

    def say_goodbye(self) -> None:
        """close_notify; `receive` goes on."""

    def close(self) -> None: ...


class _Socket:
    """A TCP connection to the server, closed at the end of a `with`."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def receive_bytes(self) -> bytes:
        data = self.sock.recv(65_536)
        if not data:
            raise EOFError("the server closed the connection without close_notify")
        return data


class InMemory(_Socket):
    """`first` leaves in the segment of the client's Finished, where that is the last flight (all but full TLS 1.2)."""

    def __init__(
        self, port: int, flavour: Flavour, *, resume: BundledClient | None = None, first: Sequence[bytes] = ()
    ) -> None:
        super().__init__(port)
        self.client = BundledClient(version=flavour.version, suites=flavour.openssl, resume=resume)
        handshake(self, self.client)
        self.send(*first)

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.client.write(chunk)
        self._flush()

    def receive(self) -> bytes:
        while not (data := self.client.read()) and not self.client.closed:
            self.client.feed(self.receive_bytes())
        return data

    def update_key(self, *, request: bool) -> None:
        raise NotImplementedError("pyOpenSSL has no door for it")

    def say_goodbye(self) -> None:
        self.client.tls.shutdown()
        self._flush()

    def _flush(self) -> None:
        if data := self.client.output():
            self.sock.sendall(data)


def handshake(wire: _Socket, client: BundledClient) -> None:
    """Complete it, and leave the last flight in `client.output()`."""
    while not client.handshake():
        if data := client.output():
            wire.sock.sendall(data)
        client.feed(wire.receive_bytes())


class FatalAlertError(Exception):
    """The server has ended the session."""

    def __init__(self, description: int) -> None:
        super().__init__(alert_name(description))
        self.description = description


class Reference(_Socket):
    """After the handshake every byte is the test's: `sending` seals what it likes, `send_bytes` sends it.

    The client's Finished waits for the first of them, and shares its segment (all but full TLS 1.2).
    """

    def __init__(self, port: int, flavour: Flavour) -> None:
        super().__init__(port)
        secrets: dict[bytes, bytes] = {}
        client = BundledClient(version=flavour.version, suites=flavour.openssl, keep_secrets=secrets)
        handshake(self, client)
        suite = next(each for each in tls_record.SUITES if each.number == SUITES[flavour.openssl].number)
        if suite.version == TLS_1_3:
            self.sending = Direction(suite, secrets[b"CLIENT_TRAFFIC_SECRET_0"])
            self.receiving = Direction(suite, secrets[b"SERVER_TRAFFIC_SECRET_0"])
        else:
            self.sending, self.receiving = _directions_1_2(suite, client, flavour)
        self.opened: list[tuple[int, bytes]] = []  # what was no application data
        self._records = b""
        self._finished = client.output()

    @property
    def key_updates(self) -> int:
        """How many of the server's have come."""
        return sum(content_type == HANDSHAKE and content[0] == 24 for content_type, content in self.opened)

    @property
    def warnings(self) -> list[int]:
        """Descriptions of the server's, in order."""
        return [content[1] for content_type, content in self.opened if content_type == ALERT]

    def send_bytes(self, data: bytes) -> None:
        data, self._finished = self._finished + data, b""
        self.sock.sendall(data)

    def send(self, *chunks: bytes) -> None:
        self.send_bytes(b"".join(self.sending.seal(chunk) for chunk in chunks))

    def receive(self) -> bytes:
        """As in Wire; raises FatalAlertError too."""
        while True:
            while not _is_whole(self._records):
                self._records += self.receive_bytes()
            size = 5 + int.from_bytes(self._records[3:5])
            content_type, content = self.receiving.open(self._records[:size])
            self._records = self._records[size:]
            if content_type == APPLICATION_DATA:
                return content
            self.opened.append((content_type, content))
            if content_type == HANDSHAKE and content[0] == 24:
                self.receiving.update()
            if content_type == ALERT and content[0] == FATAL:
                raise FatalAlertError(content[1])
            if content_type == ALERT and content[1] == CLOSE_NOTIFY:
                return b""

    def sealed_key_update(self, *, request: bool) -> bytes:
        """The record; whatever is sealed from now on has the next key."""
        record = self.sending.seal(key_update(int(request)), HANDSHAKE)
        self.sending.update()
        return record

    def update_key(self, *, request: bool) -> None:
        self.send_bytes(self.sealed_key_update(request=request))

    def sealed_alert(self, level: int, description: int) -> bytes:
        return self.sending.seal(bytes([level, description]), ALERT)

    def say_goodbye(self) -> None:
        self.send_bytes(self.sealed_alert(WARNING, CLOSE_NOTIFY))


def _is_whole(data: bytes) -> bool:
    return len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5])


def _directions_1_2(suite: tls_record.Suite, client: BundledClient, flavour: Flavour) -> tuple[Direction, Direction]:
    """RFC 5246 6.3; both Finished were number 0. Explicit nonces are then the sequence number, as in most stacks."""
    master, server, random = client.tls.master_key(), client.tls.server_random(), client.tls.client_random()
    assert master
    assert server
    assert random
    client_key, server_key, client_iv, server_iv = key_block(SUITES[flavour.openssl], master, server + random)
    explicit = bytes(8) if suite.iv_size == 4 else b""
    return Direction(suite, client_key, client_iv + explicit, 1), Direction(suite, server_key, server_iv + explicit, 1)


class _Program:
    """A child process that takes plaintext on its input and gives plaintext on its output; its own words go to a file."""

    failure = ""  # what it says of an end without close_notify

    def __init__(self, *command: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._words = Path(self._folder.name) / "words"
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                [part.replace("WORDS", str(self._words)) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                bufsize=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def words(self) -> str:
        return self._words.read_text()

    def send(self, *chunks: bytes) -> None:
        assert self._process.stdin
        for chunk in chunks:
            self._process.stdin.write(chunk)

    def receive(self) -> bytes:
        assert self._process.stdout
        data = os.read(self._process.stdout.fileno(), 65_536)
        if not data:
            self._process.wait(TIMEOUT_S)
            if self.failure in self.words:
                raise EOFError(self.words)
        return data

    def say_goodbye(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()

    def close(self) -> None:
        with self._process, self._folder:
            if self._process.poll() is None:
                self._process.kill()


class GnuTLS(_Program):
    failure = "Fatal error"

    def __init__(self, port: int, flavour: Flavour) -> None:
        version = "1.3" if flavour.is_1_3 else "1.2"
        super().__init__(
            "gnutls-cli",
            "--insecure",
            f"--port={port}",
            f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}:-CIPHER-ALL:+{flavour.gnutls}",
            "--inline-commands",
            "--logfile=WORDS",
            "127.0.0.1",
        )

    def update_key(self, *, request: bool) -> None:
        assert request, "gnutls-cli always asks"
        self.send(b"^rekey^\n")


class SClient(_Program):
    """The system's OpenSSL."""

    failure = "unexpected eof"

    def __init__(self, port: int, flavour: Flavour) -> None:
        suite = ("-tls1_3", "-ciphersuites") if flavour.is_1_3 else ("-tls1_2", "-cipher")
        super().__init__("openssl", "s_client", "-brief", *suite, flavour.openssl, "-connect", f"127.0.0.1:{port}")
        wait_for(lambda: "Server Temp Key" in self.words, TIMEOUT_S, lambda: self.words)

    def update_key(self, *, request: bool) -> None:
        """It sees the command only at the beginning of a read, so wait until it has taken what came before."""
        done = self.words.count("KEYUPDATE")
        self.send(b"K\n" if request else b"k\n")
        wait_for(lambda: self.words.count("KEYUPDATE") > done, TIMEOUT_S, lambda: self.words)


class TLSLite(_Socket):
    def __init__(self, port: int, flavour: Flavour) -> None:
        super().__init__(port)
        settings = HandshakeSettings()
        settings.minVersion = settings.maxVersion = (3, 4) if flavour.is_1_3 else (3, 3)
        settings.cipherNames = [flavour.tlslite]
        self._tls = TLSConnection(self.sock)
        self._tls.closeSocket = False  # or it would not wait for the server's close_notify
        self._tls.handshakeClientCert(settings=settings, serverName="localhost")

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self._tls.write(chunk)

    def receive(self) -> bytes:
        return bytes(self._tls.read(max=65_536, min=1))

    def update_key(self, *, request: bool) -> None:
        for _ in self._tls.send_keyupdate_request(int(request)):
            pass

    def say_goodbye(self) -> None:
        self._tls.close()


def ticket(port: int, flavour: Flavour, request: bytes) -> BundledClient:
    """A client whose session another one may resume; TLS 1.3 sends its tickets with the first answer at the latest."""
    with InMemory(port, flavour) as wire:
        wire.send(request)
        assert wire.receive()
        wire.say_goodbye()
        while wire.receive():
            pass
        return wire.client
