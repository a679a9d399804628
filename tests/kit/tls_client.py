"""TLS clients in memory, of two independent builds of OpenSSL and both protocol versions, and certificates to serve."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from camfleet.core.tls import Session
from camfleet.core.wire.control import TLSInfo
from camfleet.supervisor.certs import host_addresses
from camfleet.supervisor.certs.issue import Subject, self_signed
from camfleet.supervisor.tls import Driver, Policy, ServerContext, export
from camfleet.supervisor.tls.context import DEFAULT_POLICY, PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from OpenSSL._util import lib

SUITES_1_3 = ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384")
SUITES_1_2_ECDSA = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384")
SUITES_1_2_RSA = ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384")


def write_pair(folder: Path, key: PrivateKey | None = None, name: str = "localhost") -> tuple[Path, Path]:
    """A fresh self-signed pair as files."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    certificate, private_key = folder / "ssl.ca", folder / "ssl.key"
    leaf = self_signed(key, Subject((name,), tuple(host_addresses())), datetime.now(UTC))
    certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    private_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private_key


def read_context(certificate: Path, private_key: Path, policy: Policy = DEFAULT_POLICY) -> ServerContext:
    return ServerContext([(certificate.read_bytes(), private_key.read_bytes())], policy)


def always(context: ServerContext) -> Callable[[str], ServerContext]:
    """For a Driver that has no choice."""
    return lambda _: context


class Client(Protocol):
    """A TLS client whose records the test carries itself."""

    closed: bool  # by the server's close_notify

    def handshake(self) -> bool:
        """Go on as far as the input reaches; True when complete."""

    def feed(self, data: bytes) -> None: ...
    def output(self) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def read(self) -> bytes:
        """What has been decrypted so far; b"" when nothing."""


class SystemClient:
    """Python's ssl, with the OpenSSL of the system."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        session: ssl.SSLSession | None = None,
        server_name: str | None = "localhost",
    ) -> None:
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.minimum_version = context.maximum_version = version
        self.closed = False
        self.context = context
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=server_name, session=session)

    def handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        self._in.write(data)

    def output(self) -> bytes:
        return self._out.read()

    def write(self, data: bytes) -> None:
        self.tls.write(data)

    def read(self) -> bytes:
        data = b""
        try:
            while chunk := self.tls.read(65_536):
                data += chunk
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        return data


class BundledClient:
    """pyOpenSSL, with the OpenSSL of the cryptography package: newer, and it lets a test choose suites and tickets."""

    def __init__(
        self,
        *,
        version: int = SSL.TLS1_3_VERSION,
        suites: str = "",
        options: int = 0,
        resume: "BundledClient | None" = None,
        keep_secrets: dict[bytes, bytes] | None = None,
    ) -> None:
        """`resume`: an earlier client, whose settings and newest ticket are taken. `keep_secrets` gets all secrets by
        their label of the key log."""
        self.closed = False
        if resume is None:
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
            context.set_options(options)
            if keep_secrets is not None:
                context.set_keylog_callback(lambda _, line: _keep(keep_secrets, line))
            if suites:
                choose = context.set_tls13_ciphersuites if version == SSL.TLS1_3_VERSION else context.set_cipher_list
                choose(suites.encode())
        else:
            context = resume.tls.get_context()
        self.tls: SSL.Connection = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.tls.set_tlsext_host_name(b"localhost")
        if resume is not None:
            ticket = resume.tls.get_session()
            assert ticket is not None
            self.tls.set_session(ticket)

    @property
    def resumed(self) -> bool:
        """pyOpenSSL has no door for this."""
        return bool(lib.SSL_session_reused(self.tls._ssl))

    def handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        if data:
            self.tls.bio_write(data)

    def output(self) -> bytes:
        try:
            return self.tls.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def write(self, data: bytes) -> None:
        self.tls.sendall(data)

    def read(self) -> bytes:
        data = b""
        try:
            while True:
                data += self.tls.recv(65_536)
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.WantReadError:
            pass
        return data


def _keep(secrets: dict[bytes, bytes], line: bytes) -> None:
    label, _client_random, secret = line.split()
    secrets[label] = bytes.fromhex(secret.decode())


def split_records(data: bytes) -> list[bytes]:
    """The whole records in `data`."""
    found = []
    while data:
        size = 5 + int.from_bytes(data[3:5])
        assert len(data) >= size, "an incomplete record"
        found.append(data[:size])
        data = data[size:]
    return found


def drive(driver: Driver, client: Client, first_request: bytes = b"") -> list[bytes]:
    """The handshake of both; `first_request` leaves together with the client's Finished.

    Returns the client's records that the driver did not take because it was complete.
    """
    done = False
    for _ in range(10):
        if not done:
            done = client.handshake()
            if done and first_request:
                client.write(first_request)
        records = split_records(client.output())
        while records and not driver.complete:
            driver.receive_record(records.pop(0))
        client.feed(driver.data_to_send())
        if driver.complete and (done or client.handshake()):
            return records
    raise AssertionError("the handshake does not end")


def establish(context: ServerContext, client: Client) -> tuple[Session, TLSInfo]:
    """A complete handshake, exported."""
    driver = Driver(always(context))
    assert drive(driver, client) == []
    return export(driver, now_ns=0)


def exchange(session: Session, client: Client, request: bytes, answer: bytes) -> None:
    """One request and its answer, through the client's TLS and ours."""
    client.write(request)
    received = b""
    for record in split_records(client.output()):
        data = session.receive(record, 0)
        assert data is not None
        received += data
    assert received == request
    client.feed(session.seal(answer, 0))
    assert client.read() == answer
