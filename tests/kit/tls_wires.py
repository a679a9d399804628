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
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from OpenSSL import SSL

from tests.kit.tls_client import BundledClient
from tests.kit.tls_layer import TLSLayer
from tests.kit.wait import wait_for
from tests.reference.tls_record import ALERT

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore where that still exists
    from tlslite.api import HandshakeSettings, TLSConnection  # type: ignore[import-untyped]  # it has no types

TIMEOUT_S = 10.0
WARNING, CLOSE_NOTIFY = 1, 0


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


class Wire(ABC):
    """One TLS connection; closed at the end of a `with`."""

    @abstractmethod
    def __init__(self, port: int, flavour: Flavour) -> None:
        """Connects, and is through with the handshake."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def send(self, *chunks: bytes) -> None:
        """Each chunk in records of its own; all in one segment where the stack lets us."""

    @abstractmethod
    def receive(self) -> bytes:
        """At least one byte of plaintext; empty at close_notify. Raises EOFError at any other end."""

    def update_key(self, *, request: bool) -> None:
        """KeyUpdate; `request`: the server shall do it too."""
        raise NotImplementedError("this stack has no door for it")

    @abstractmethod
    def say_goodbye(self) -> None:
        """close_notify; `receive` goes on."""

    @abstractmethod
    def close(self) -> None: ...


class _Socket(Wire):
    """On a TCP connection of our own."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

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
    """The server has ended the session; the text is the alert's name."""


class Reference(_Socket):
    """After the handshake every byte is the test's: `tls.sending` seals what it likes, `send_bytes` sends it.

    The client's Finished waits for the first of them, and shares its segment (all but full TLS 1.2).
    """

    def __init__(self, port: int, flavour: Flavour) -> None:
        super().__init__(port)
        self.tls = TLSLayer(self.sock, flavour.version, flavour.openssl, hold=True)

    def send_bytes(self, data: bytes) -> None:
        data, self.tls.unsent = self.tls.unsent + data, b""
        self.sock.sendall(data)

    def send(self, *chunks: bytes) -> None:
        self.send_bytes(b"".join(self.tls.seal(chunk) for chunk in chunks))

    def receive(self) -> bytes:
        """As in Wire; raises FatalAlertError too."""
        data = b""
        while not data and not self.tls.ended:
            data = self.tls.open(self.receive_bytes())
        if not data and self.tls.alert != "close_notify":
            raise FatalAlertError(self.tls.alert)
        return data

    def update_key(self, *, request: bool) -> None:
        self.send_bytes(self.tls.update(int(request)))

    def say_goodbye(self) -> None:
        self.send_bytes(self.tls.sending.seal(bytes([WARNING, CLOSE_NOTIFY]), ALERT))


class _Program(Wire):
    """A child process: plaintext on its input and its output, its own words in a file."""

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
