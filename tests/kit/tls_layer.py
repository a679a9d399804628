"""The client's side of TLS with every record in the test's hands: a real handshake, then the reference record layer."""

import socket

from camfleet.core.tls.alert import alert_name
from camfleet.supervisor.tls.export import SUITES as EXPORT_SUITES
from camfleet.supervisor.tls.export import key_block
from OpenSSL import SSL

from tests.kit.tls import KEY_UPDATE, key_update
from tests.kit.tls_client import BundledClient
from tests.reference.tls_record import ALERT, APPLICATION_DATA, HANDSHAKE, SUITES, TLS_1_3, Direction

SUITE_OF = {SSL.TLS1_3_VERSION: "TLS_AES_128_GCM_SHA256", SSL.TLS1_2_VERSION: "ECDHE-ECDSA-AES128-GCM-SHA256"}
MAX_FRAGMENT_SIZE = 16_384
FATAL, CLOSE_NOTIFY = 2, 0


class TLSLayer:
    """`sending` and `receiving` are the client's directions; `alerts` are the names of the server's."""

    def __init__(
        self, sock: socket.socket, version: int = SSL.TLS1_3_VERSION, suite: str = "", *, hold: bool = False
    ) -> None:
        """A whole handshake on a blocking socket. `hold`: our last flight stays in `unsent`, for the caller to send."""
        suite = suite or SUITE_OF[version]
        secrets: dict[bytes, bytes] = {}
        client = BundledClient(version=version, suites=suite, keep_secrets=secrets)
        while not client.handshake():
            sock.sendall(client.output())
            data = sock.recv(65_536)
            if not data:
                raise ConnectionAbortedError("the server closed during the handshake")
            client.feed(data)
        self.unsent = client.output()
        if self.unsent and not hold:
            sock.sendall(self.unsent)
            self.unsent = b""
        self.sending, self.receiving = _directions(client.tls, suite, secrets)
        self.alerts: list[str] = []
        self.ended = False  # close_notify or a fatal alert has come
        self.key_updates = 0  # of the server
        self._ciphertext = b""

    @property
    def alert(self) -> str:
        """The last one."""
        return self.alerts[-1] if self.alerts else ""

    def seal(self, data: bytes) -> bytes:
        """Application data in records as large as they may be."""
        pieces = (data[at : at + MAX_FRAGMENT_SIZE] for at in range(0, len(data), MAX_FRAGMENT_SIZE))
        return b"".join(self.sending.seal(piece) for piece in pieces)

    def update(self, request: int) -> bytes:
        """A KeyUpdate, after which this side seals with its next key (RFC 8446 4.6.3)."""
        record = self.sending.seal(key_update(request), HANDSHAKE)
        self.sending.update()
        return record

    def open(self, data: bytes) -> bytes:
        """The application data of the records that are now whole."""
        self._ciphertext += data
        opened = b""
        while len(self._ciphertext) >= 5 and len(self._ciphertext) >= (
            size := 5 + int.from_bytes(self._ciphertext[3:5])
        ):
            assert not self.ended, "a record after the last word"
            content_type, content = self.receiving.open(self._ciphertext[:size])
            self._ciphertext = self._ciphertext[size:]
            if content_type == APPLICATION_DATA:
                opened += content
            elif content_type == ALERT:
                level, description = content
                self.alerts.append(alert_name(description))
                self.ended = level == FATAL or description == CLOSE_NOTIFY
            elif content[0] == KEY_UPDATE:
                self.key_updates += 1
                self.receiving.update()
        return opened


def _directions(
    connection: SSL.Connection, suite_name: str, secrets: dict[bytes, bytes]
) -> tuple[Direction, Direction]:
    exported = EXPORT_SUITES[suite_name]
    suite = next(suite for suite in SUITES if suite.number == exported.number)
    if suite.version == TLS_1_3:
        return (
            Direction(suite, secrets[b"CLIENT_TRAFFIC_SECRET_0"]),
            Direction(suite, secrets[b"SERVER_TRAFFIC_SECRET_0"]),
        )
    client_random, server_random = connection.client_random(), connection.server_random()
    assert client_random is not None
    assert server_random is not None
    client_key, server_key, client_iv, server_iv = key_block(
        exported, secrets[b"CLIENT_RANDOM"], server_random + client_random
    )
    # Both Finished were record 0. The explicit nonce of AES-GCM is ours to choose (RFC 5288 3).
    explicit = bytes(8) if suite.iv_size == 4 else b""
    return Direction(suite, client_key, client_iv + explicit, 1), Direction(suite, server_key, server_iv + explicit, 1)
