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


class TLSLayer:
    """`sending` and `receiving` are the client's directions; `alert` is the name of the server's last alert."""

    def __init__(self, sock: socket.socket, version: int = SSL.TLS1_3_VERSION) -> None:
        """A whole handshake on a blocking socket."""
        suite = SUITE_OF[version]
        secrets: dict[bytes, bytes] = {}
        client = BundledClient(version=version, suites=suite, keep_secrets=secrets)
        while not client.handshake():
            sock.sendall(client.output())
            data = sock.recv(65_536)
            if not data:
                raise ConnectionAbortedError("the server closed during the handshake")
            client.feed(data)
        if data := client.output():
            sock.sendall(data)
        self.sending, self.receiving = _directions(client.tls, suite, secrets)
        self.alert = ""
        self.key_updates = 0  # of the server
        self._ciphertext = b""

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
            content_type, content = self.receiving.open(self._ciphertext[:size])
            self._ciphertext = self._ciphertext[size:]
            if content_type == APPLICATION_DATA:
                opened += content
            elif content_type == ALERT:
                self.alert = alert_name(content[1])
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
    # Both Finished were record 0. The explicit nonce is ours to choose (RFC 5288 3).
    return Direction(suite, client_key, client_iv + bytes(8), 1), Direction(suite, server_key, server_iv + bytes(8), 1)
