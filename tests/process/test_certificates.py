"""A real server with several certificates: who gets which, who is let in, and what the status says (issue 4)."""

import hashlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from OpenSSL import SSL

from tests.kit.authority import Authority
from tests.kit.rtsp_client import RTSPClient
from tests.kit.server import CAMERA, PASSWORD, USER, Server, free_ports
from tests.kit.wait import wait_for

SERVERS, CLIENTS, STRANGERS = Authority("Servers"), Authority("Clients"), Authority("Strangers")
OWN_ADDRESS = "127.0.0.3"
NAME, WILDCARD = "ipc2.example.org", "*.cameras.example.org"
PLACES = {
    "ipc1": "rtsps_port = {port}",
    "ipc2": f'server_name = "{NAME}"',
    "ipc3": f'server_name = "{WILDCARD}"',
    "ipc4": f'address = "{OWN_ADDRESS}"',
}
MUTUAL = '[cameras.tls]\nclient_certificates = "required"\nclient_ca = "clients.pem"\n'


class Rig(Server):
    """Four cameras, each with a certificate of its own and another way to it; ipc1 asks for client certificates."""

    def __init__(self, folder: Path, *, tls_lines: str = "") -> None:
        (self.own_port,) = free_ports(1)
        self.tls_lines = tls_lines
        self.certs = folder / "state" / "certs"
        self.certs.mkdir(parents=True)
        (self.certs / "clients.pem").write_bytes(CLIENTS.root)
        self.shown_as: dict[str, str] = {}  # SHA-256 of a certificate to its identity
        for identity in ("global", *PLACES):
            self.put(identity, SERVERS.issue(identity, [x509.DNSName("localhost")]))
        super().__init__(folder, tuple(PLACES), host=["127.0.0.1", OWN_ADDRESS])

    def write_config(self, cameras: tuple[str, ...], *, password: str = PASSWORD) -> None:
        super().write_config((), password=password)
        with self.config.open("a") as file:
            for camera in cameras:
                place = PLACES[camera].format(port=self.own_port)
                tls = MUTUAL if camera == "ipc1" else ""
                file.write(CAMERA.format(id=camera).replace("name =", f"{place}\nname =") + tls)
            file.write(f"[tls]\n{self.tls_lines}\n")

    def put(self, identity: str, pair: tuple[bytes, bytes]) -> None:
        folder = self.certs if identity == "global" else self.certs / "cameras" / identity
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ssl.key").write_bytes(pair[1])
        (folder / "ssl.ca").write_bytes(pair[0])
        self.shown_as[hashlib.sha256(ssl.PEM_cert_to_DER_cert(pair[0].decode())).hexdigest()] = identity

    def at(
        self,
        camera: str,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        name: str = "",
        certificate: Path | None = None,
        password: bool = True,
    ) -> RTSPClient:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            context.load_cert_chain(certificate)
        login = f"{USER}:{PASSWORD}@" if password else ""
        port = port or self.rtsps_port
        url = f"rtsps://{login}{name or host}:{port}/{camera}-stream1/testlive"
        return RTSPClient.connect(url, context=context, address=(host, port))

    def identity(self, client: RTSPClient) -> str:
        return self.shown_as[hashlib.sha256(client.peer_certificate()).hexdigest()]

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["identity"]: row for row in self.status()["certificates"]}


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    with Rig(folder) as running:
        yield running


class BlockingConnection(SSL.Connection):
    def settimeout(self, _: float) -> None:
        """With one, every read would have to be tried again by the caller."""


def post_quantum(rig: Rig) -> RTSPClient:
    """By the OpenSSL of the cryptography package; the system's does not know ML-KEM yet."""
    sock = socket.create_connection(("127.0.0.1", rig.rtsps_port))
    tls = BlockingConnection(SSL.Context(SSL.TLS_CLIENT_METHOD), sock)
    tls.set_connect_state()
    tls.do_handshake()
    return RTSPClient(cast(socket.socket, tls), rig.bare_url("ipc2"), USER, PASSWORD)


def client_pair(folder: Path, authority: Authority, name: str) -> Path:
    certificate, private_key = authority.issue(name, client=True)
    path = folder / f"{name}.pem"
    path.write_bytes(certificate + private_key)
    return path


def test_who_gets_which(rig: Rig) -> None:
    ways: list[tuple[str, dict[str, Any]]] = [
        ("global", {}),
        ("global", {"name": "other.example.org"}),
        ("ipc2", {"name": NAME}),
        ("ipc3", {"name": "lobby.cameras.example.org"}),
        ("global", {"name": "a.lobby.cameras.example.org"}),
        ("ipc4", {"host": OWN_ADDRESS}),
        ("ipc2", {"host": OWN_ADDRESS, "name": NAME}),
        ("global", {"port": rig.rtsp_port}),  # TLS on the plain port
    ]
    for identity, way in ways:
        with rig.at("ipc2", **way) as client:
            assert rig.identity(client) == identity, way
            client.play()  # whatever the certificate, any camera may be asked for
            (reader,) = rig.camera("ipc2")["readers"]
            assert (reader["certificate"], reader["tls_group"] != "") == (identity, True)
        wait_for(lambda: not rig.camera("ipc2")["readers"])
    with post_quantum(rig) as client:
        client.play()
        (reader,) = rig.camera("ipc2")["readers"]
        assert (reader["tls_group"], reader["certificate"]) == ("X25519MLKEM768", "global")
    assert "certificate=ipc3" in rig.log_text()
    assert {name: row["state"] for name, row in rig.rows().items()} == dict.fromkeys(("global", *PLACES), "live")
    urls = {camera["id"]: camera["streams"][0]["url"] for camera in rig.status()["cameras"]}
    assert urls["ipc1"].startswith(f"rtsps://127.0.0.1:{rig.own_port}/")
    assert urls["ipc2"].startswith(f"rtsps://{NAME}:{rig.rtsps_port}/")
    assert urls["ipc3"].startswith(f"rtsps://127.0.0.1:{rig.rtsps_port}/")
    assert urls["ipc4"].startswith(f"rtsps://{OWN_ADDRESS}:{rig.rtsps_port}/")


def test_mutual_tls(rig: Rig, folder: Path) -> None:
    user, nobody = client_pair(folder, CLIENTS, USER), client_pair(folder, CLIENTS, "nobody")
    stranger = client_pair(folder, STRANGERS, "stranger")
    with rig.at("ipc1", port=rig.own_port, certificate=user, password=False) as client:
        assert rig.identity(client) == "ipc1"
        client.play()  # no password is asked for
        (reader,) = rig.camera("ipc1")["readers"]
        assert (reader["user"], reader["certificate"]) == (USER, "ipc1")
        with rig.at("ipc2", port=rig.own_port, certificate=user, password=False) as other:
            assert other.request("DESCRIBE").status == 401  # ipc2 does not know this authority
    with rig.at("ipc1", port=rig.own_port, certificate=nobody, password=False) as client:
        assert client.request("DESCRIBE").status == 401
    with rig.at("ipc1", port=rig.own_port, certificate=nobody) as client:
        assert client.request("DESCRIBE").status == 200  # a known authority and a password
    for certificate in (None, stranger):
        with (
            pytest.raises(ssl.SSLError, match="alert"),
            rig.at("ipc1", port=rig.own_port, certificate=certificate) as client,
        ):
            client.request("DESCRIBE")
    with rig.at("ipc1", certificate=user) as client:  # by the global certificate nobody was asked who he is
        assert rig.identity(client) == "global"
        assert client.request("DESCRIBE").status == 403
    with rig.connect("ipc1", tls=False) as client:
        assert client.request("DESCRIBE").status == 403
    assert "ipc1: needs a client certificate of its authority" in rig.log_text()


def test_a_hand_back_does_not_carry_a_login_along(rig: Rig, folder: Path) -> None:
    """From ipc1, where the certificate counts, to ipc2, where it does not."""
    user = client_pair(folder, CLIENTS, USER)
    with rig.at("ipc1", port=rig.own_port, certificate=user, password=False) as client:
        assert client.request("DESCRIBE").status == 200
        client.url = client.url.replace("ipc1", "ipc2")
        assert client.request("DESCRIBE").status == 401


def test_a_connection_that_comes_back_has_not_lost_its_certificate(rig: Rig, folder: Path) -> None:
    with rig.at("ipc1", port=rig.own_port, certificate=client_pair(folder, CLIENTS, "nobody")) as client:
        for there, here in (("ipc1", "ipc2"), ("ipc2", "ipc1"), ("ipc1", "ipc1")):
            assert client.request("DESCRIBE").status == 200
            client.url = client.url.replace(there, here)


def test_a_client_ca_is_replaced_live(rig: Rig, folder: Path) -> None:
    user, stranger = client_pair(folder, CLIENTS, USER), client_pair(folder, STRANGERS, f"{USER}2")
    with rig.at("ipc1", port=rig.own_port, certificate=user, password=False) as playing:
        playing.play()
        (rig.certs / "clients.pem").write_bytes(STRANGERS.root)

        def strangers_are_in() -> bool:
            try:
                with rig.at("ipc1", port=rig.own_port, certificate=stranger) as client:
                    return client.request("DESCRIBE").status == 200
            except OSError:
                return False

        wait_for(strangers_are_in)
        assert len(list(playing.frames(0.5))) > 5


def test_an_expired_certificate_is_refused_and_the_sessions_go_on(folder: Path) -> None:
    rig = Rig(folder, tls_lines='expired = "refuse"')
    rig.put("ipc2", SERVERS.issue("ipc2", [x509.DNSName(NAME)], days=(-30, 4 / 86_400)))
    with rig, rig.at("ipc2", name=NAME) as playing:
        playing.play()
        wait_for(lambda: rig.rows()["ipc2"]["state"] == "expired", 15.0)
        wait_for(lambda: "event=certificate_expired" in rig.log_text())
        with pytest.raises(ssl.SSLError, match="handshake failure"):
            rig.at("ipc2", name=NAME)
        wait_for(lambda: rig.status()["supervisor"]["turned_away"].get("certificate expired") == 1)
        with rig.at("ipc2") as client:  # by the global one
            assert client.request("DESCRIBE").status == 200
        assert len(list(playing.frames(0.5))) > 5


def test_a_bad_pair_is_named_and_the_old_one_serves(rig: Rig) -> None:
    path = rig.certs / "cameras" / "ipc2" / "ssl.key"
    path.write_bytes(SERVERS.issue("another")[1])
    os.kill(rig.pid, signal.SIGHUP)
    wait_for(lambda: rig.rows()["ipc2"]["state"].startswith("refused: "))
    assert "belongs to none of the certificates" in rig.rows()["ipc2"]["problem"]
    with rig.at("ipc2", name=NAME) as client:
        assert rig.identity(client) == "ipc2"
    rig.stop()
    rig.start()  # from the history
    assert rig.rows()["ipc2"]["state"].startswith("refused: ")
    with rig.at("ipc2", name=NAME) as client:
        assert rig.identity(client) == "ipc2"
    assert rig.log_text().count("event=certificate_refused") == 2
