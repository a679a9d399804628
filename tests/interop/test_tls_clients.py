"""openssl s_client, gnutls-cli and tlslite-ng through the door: each suite, KeyUpdate at once, resumption, early data.

The session is exported and imported after every request, so that each answer comes from a moved session.
"""

import asyncio
import contextlib
import re
import socket
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from camfleet.core.tls import Session
from camfleet.core.wire.control import TLSInfo
from camfleet.supervisor.listen import Channel

from tests.kit.door import OpenDoor, open_door
from tests.kit.supervisor import until
from tests.kit.tls_client import SUITES_1_2_ECDSA, SUITES_1_3, read_context, write_pair

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore where that still exists
    from tlslite.api import HandshakeSettings, TLSConnection  # type: ignore[import-untyped]  # it has no types

TIMEOUT_S = 20.0


@dataclass
class Seen:
    """What the server saw of each connection: its TLS, and before each answer the sequence numbers."""

    tls: list[TLSInfo | None] = field(default_factory=list)
    receiving: list[int] = field(default_factory=list)
    sending: list[int] = field(default_factory=list)


@dataclass
class Server:
    door: OpenDoor
    certificate: Path
    seen: Seen

    @property
    def port(self) -> int:
        return self.door.port


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    seen = Seen()

    async def serve(channel: Channel) -> None:
        seen.tls.append(channel.tls)
        while data := await channel.receive():
            assert channel.session is not None
            seen.receiving.append(channel.session.receiving_sequence)
            seen.sending.append(channel.session.sending_sequence)
            channel.session = Session.from_export(channel.session.export(0))
            await channel.send(b"echo " + data)

    certificate, private_key = write_pair(folder)
    async with open_door(read_context(certificate, private_key), serve=serve) as door:
        yield Server(door, certificate, seen)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 3 * TIMEOUT_S))


class Program:
    """A client program: lines go in, and what it prints is waited for."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.shown = ""

    async def say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def shows(self, pattern: str) -> None:
        """Until what it has printed since the last time matches."""
        assert self._process.stdout
        async with asyncio.timeout(TIMEOUT_S):
            while not (match := re.search(pattern, self.shown)):
                data = await self._process.stdout.read(65_536)
                assert data, f"{pattern!r} is not in {self.shown}"
                self.shown += data.decode(errors="replace")
        self.shown = self.shown[match.end() :]

    async def ends(self) -> None:
        """By itself; killed earlier, it may not have sent its alert yet."""
        assert self._process.stdout
        async with asyncio.timeout(TIMEOUT_S):
            while data := await self._process.stdout.read(65_536):
                self.shown += data.decode(errors="replace")
            await self._process.wait()

    async def ask(self, line: str) -> None:
        await self.say(line)
        await self.shows(f"echo {line}")


@contextlib.asynccontextmanager
async def program(*command: str | Path) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield Program(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def s_client(server: Server, *options: str | Path) -> contextlib.AbstractAsyncContextManager[Program]:
    """It verifies certificate and name, and must not go on without."""
    verify = ("-CAfile", server.certificate, "-verify_return_error", "-verify_hostname", "localhost")
    address = ("-connect", f"127.0.0.1:{server.port}", "-servername", "localhost")
    return program("openssl", "s_client", *address, *verify, *options)


def gnutls_cli(server: Server, priority: str, *options: str) -> contextlib.AbstractAsyncContextManager[Program]:
    verify = (f"--x509cafile={server.certificate}", "--verify-hostname=localhost", "--sni-hostname=localhost")
    return program(
        "gnutls-cli",
        f"--port={server.port}",
        f"--priority={priority}",
        *verify,
        *options,
        "--inline-commands",
        "127.0.0.1",
    )


def gnutls_priority(version: str, cipher: str) -> str:
    return f"NORMAL:-VERS-ALL:+VERS-{version}:-CIPHER-ALL:+{cipher}"


REGISTERED = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}
S_CLIENT = [("TLSv1.3", suite, ("-tls1_3", "-ciphersuites", suite)) for suite in SUITES_1_3]
S_CLIENT += [("TLSv1.2", REGISTERED[suite], ("-tls1_2", "-cipher", suite)) for suite in SUITES_1_2_ECDSA]


@pytest.mark.parametrize(("version", "suite", "options"), S_CLIENT)
def test_s_client(tmp_path: Path, version: str, suite: str, options: tuple[str, ...]) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            async with s_client(server, *options) as client:
                await client.shows(r"Verify return code: 0 \(ok\)")
                for n in range(3):
                    await client.ask(f"hello {n}")
                await client.say("Q")
            info = server.seen.tls[0]
            assert info is not None
            assert (info.version, info.suite, info.server_name) == (version, suite, "localhost")

    run(test())


GNUTLS = [
    ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "TLS1.3", "AES-128-GCM"),
    ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", "TLS1.3", "CHACHA20-POLY1305"),
    ("TLSv1.3", "TLS_AES_256_GCM_SHA384", "TLS1.3", "AES-256-GCM"),
    ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS1.2", "AES-128-GCM"),
    ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS1.2", "CHACHA20-POLY1305"),
    ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS1.2", "AES-256-GCM"),
]


@pytest.mark.parametrize(("version", "suite", "wanted", "cipher"), GNUTLS)
def test_gnutls_cli_and_its_resumption(tmp_path: Path, version: str, suite: str, wanted: str, cipher: str) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            priority = gnutls_priority(wanted, cipher)
            async with gnutls_cli(server, priority, "--resume", "--waitresumption") as client:
                await client.shows("This is a resumed session")
                for n in range(3):
                    await client.ask(f"hello {n}")
            assert [(info and (info.version, info.suite)) for info in server.seen.tls] == [(version, suite)] * 2

    run(test())


@pytest.mark.parametrize("command", ["k", "K"])
def test_key_update_of_s_client_at_once(tmp_path: Path, command: str) -> None:
    """Before the first request; K asks for ours as well."""

    async def test() -> None:
        async with serving(tmp_path) as server, s_client(server, "-tls1_3") as client:
            await client.shows(r"Verify return code: 0 \(ok\)")
            await client.say(command)
            await client.shows("KEYUPDATE")
            await client.ask("hello")
            await client.ask("again")
            assert server.seen.receiving == [1, 2], "counted from the KeyUpdate"
            assert server.seen.sending == ([0, 1] if command == "K" else [2, 3]), "ours from the answer, or the tickets"

    run(test())


def test_key_update_of_gnutls_cli(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server, gnutls_cli(server, "NORMAL:-VERS-ALL:+VERS-TLS1.3") as client:
            await client.shows("Simple Client Mode")
            for _ in range(3):
                await client.say("^rekey^")
                await client.shows("Rekey was completed")
                await client.ask("hello")
            assert server.seen.receiving == [1, 1, 1]

    run(test())


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumption_of_s_client(tmp_path: Path, version: str) -> None:
    async def test() -> None:
        ticket = tmp_path / "ticket"
        async with serving(tmp_path) as server:
            async with s_client(server, version, "-sess_out", ticket) as client:
                await client.shows(r"Verify return code: 0 \(ok\)")
                await client.ask("hello")
                await client.say("Q")
                await client.shows("DONE")
            async with s_client(server, version, "-sess_in", ticket) as client:
                await client.shows("Reused, ")
                await client.ask("hello")
                await client.ask("again")
            assert server.seen.sending == {"-tls1_2": [1, 1, 2], "-tls1_3": [2, 1, 2]}[version]

    run(test())


def test_early_data_is_not_taken(tmp_path: Path) -> None:
    """Bad-input 64: a ticket of another server that allows it. The records of it are skipped, and all goes on."""

    async def test() -> None:
        ticket, early = tmp_path / "ticket", tmp_path / "early"
        early.write_bytes(b"early data")
        async with serving(tmp_path) as server:
            pair = ("-cert", server.certificate, "-key", tmp_path / "ssl.key")
            async with program(
                "openssl", "s_server", "-accept", "0", *pair, "-tls1_3", "-early_data", "-naccept", "1"
            ) as other:
                await other.shows("ACCEPT ")
                await other.shows(r":(?=\d+\n)")
                port = other.shown.split()[0]
                async with program(
                    "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-sess_out", ticket
                ) as client:
                    await until(ticket.exists, TIMEOUT_S)
                    await client.say("Q")
                    await client.shows("DONE")
            async with s_client(server, "-sess_in", ticket, "-early_data", early) as client:
                await client.shows("Early data was rejected")
                await client.ask("hello")
            assert server.seen.receiving == [1]

    run(test())


def test_max_fragment_length_of_s_client(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            async with s_client(server, "-maxfraglen", "1024") as client:
                await client.shows("handshake failure")
            await server.door.settled()
            assert server.door.journal.counts == {"TLS handshake handshake_failure": 1}

    run(test())


def test_renegotiation_of_s_client(tmp_path: Path) -> None:
    """Bad-input 62."""

    async def test() -> None:
        async with serving(tmp_path) as server, s_client(server, "-tls1_2") as client:
            await client.shows(r"Verify return code: 0 \(ok\)")
            await client.ask("hello")
            await client.say("R")
            await client.shows("RENEGOTIATING")
            await client.shows("no renegotiation")

    run(test())


def test_a_wrong_name_is_refused_by_the_client(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            options = (
                f"--x509cafile={server.certificate}",
                "--verify-hostname=camera.example.org",
                f"--port={server.port}",
            )
            async with program("gnutls-cli", *options, "127.0.0.1") as client:
                await client.ends()
                assert "name in the certificate does not match" in client.shown
            await server.door.settled()
            assert server.door.journal.counts == {"TLS handshake bad_certificate": 1}

    run(test())


TLSLITE = [
    ((3, 4), "aes128gcm", "TLS_AES_128_GCM_SHA256"),
    ((3, 4), "chacha20-poly1305", "TLS_CHACHA20_POLY1305_SHA256"),
    ((3, 4), "aes256gcm", "TLS_AES_256_GCM_SHA384"),
    ((3, 3), "aes128gcm", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ((3, 3), "chacha20-poly1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ((3, 3), "aes256gcm", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
]


def tlslite(port: int, settings: HandshakeSettings, talk: Callable[[TLSConnection], None]) -> None:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock:
        connection = TLSConnection(sock)
        connection.handshakeClientCert(settings=settings, serverName="localhost")
        talk(connection)
        connection.close()


def tlslite_ask(connection: TLSConnection, data: bytes) -> None:
    connection.write(data)
    wanted = b"echo " + data
    assert connection.read(max=len(wanted), min=len(wanted)) == wanted


@pytest.mark.parametrize(("version", "cipher", "suite"), TLSLITE)
def test_tlslite(tmp_path: Path, version: tuple[int, int], cipher: str, suite: str) -> None:
    """The independent one. A KeyUpdate before the first request, large requests, and with them many records."""
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    settings.cipherNames = [cipher]

    def talk(connection: TLSConnection) -> None:
        if version == (3, 4):
            for _ in connection.send_keyupdate_request(1):
                pass
        for size in (1, 1000, 16_384):
            tlslite_ask(connection, b"x" * size)

    async def test() -> None:
        async with serving(tmp_path) as server:
            await asyncio.to_thread(tlslite, server.port, settings, talk)
            info = server.seen.tls[0]
            assert info is not None
            assert info.suite == suite
            if version == (3, 4):
                assert (server.seen.receiving[0], server.seen.sending[0]) == (1, 0)
            await server.door.settled()
            assert not server.door.journal.counts

    run(test())
