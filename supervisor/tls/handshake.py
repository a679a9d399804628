"""The server's side of a TLS handshake as a machine: records in, records out, no socket and no clock.

It takes one record at a time. More would let the library swallow what follows the client's Finished, its first request
as a rule, and that would be lost to the session exported afterwards.

    ClientHello  -> [receive_record] ->  ServerHello .. Finished           not complete
    Finished     -> [receive_record] ->  NewSessionTicket ..               complete: export()
"""

import contextlib
from collections.abc import Callable

from camfleet.core.tls.alert import alert_name
from camfleet.core.tls.session import HEADER_SIZE
from OpenSSL import SSL

from .context import ServerContext, Witness, error_text
from .hello import ClientHello, is_incomplete, read_hello

# Everything a client may send before the handshake is complete. A ClientHello with X25519MLKEM768, a ticket and padding
# has about 2.5 KB; a HelloRetryRequest doubles that, and records of one byte each make it six times as much.
MAX_HANDSHAKE_SIZE = 32 * 1024

_CHANGE_CIPHER_SPEC, _HANDSHAKE, _APPLICATION_DATA = 20, 22, 23
_DRAIN_SIZE = 65_536
_HANDSHAKE_FAILURE = bytes((21, 3, 3, 0, 2, 2, 40))  # a record of one fatal alert, in the clear


class HandshakeError(Exception):
    """The handshake has failed; what `data_to_send` still gives is the alert that tells the client.

    `alert` is its RFC 8446 6 name, or the name of the alert that the client sent; empty: none. `word` is for counting.
    """

    def __init__(self, alert: str, reason: str, word: str = "") -> None:
        super().__init__(reason)
        self.alert = alert
        self.word = word or f"TLS handshake {alert}".rstrip()


class Driver:
    """One handshake. The caller reads one record, gives it in, sends what comes out; its deadline is the caller's.

    `choose` is asked for the context by the server name of the ClientHello, before the library sees the client's first
    byte: all that is sealed for the client, tickets too, belongs to that one context.
    """

    def __init__(self, choose: Callable[[str], ServerContext]) -> None:
        self.hello = ClientHello()
        self.complete = False
        self.exported = False
        self.records_sent = 0  # under the server's application key (TLS 1.3: session tickets)
        self.last_record = b""  # the last one sent of all (TLS 1.2: Finished)
        self.witness = Witness()
        self._choose = choose
        self._context: ServerContext | None = None
        self._connection: SSL.Connection | None = None
        self._received_size = 0
        self._early = b""  # the records before there was a context
        self._message = b""  # what is in them
        self._outgoing = b""

    @property
    def context(self) -> ServerContext:
        """The chosen one. Raises ValueError before there is one."""
        if self._context is None:
            raise ValueError("the ClientHello has not come yet")
        return self._context

    def record_size(self, data: bytes) -> int:
        """Size of the record that begins at `data`, header included; 0 while the header is incomplete."""
        if len(data) < HEADER_SIZE:
            return 0
        size = HEADER_SIZE + int.from_bytes(data[3:5])
        if self._received_size + size > MAX_HANDSHAKE_SIZE:
            raise HandshakeError("", f"more than {MAX_HANDSHAKE_SIZE} bytes before the handshake was complete")
        return size

    def receive_record(self, record: bytes) -> None:
        """Take exactly one whole record."""
        if self.complete or not record or len(record) != self.record_size(record):
            raise ValueError("one whole record at a time, until complete")
        self._received_size += len(record)
        if self._connection is None:
            connection = self._begin(record)
            if connection is None:
                return
        else:
            connection = self._connection
            connection.bio_write(record)
            if record[0] == _CHANGE_CIPHER_SPEC and self.last_record:
                return  # gets no answer: the library looks at it together with the record that must follow
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._send_drained(connection)
            raise self._failure(error) from None
        else:
            self.complete = True
        answered = bool(self.last_record)
        sent = self._send_drained(connection)
        if self.complete:
            # Only the client's Finished gets here, so `sent` follows the server's own. In TLS 1.3 protected records
            # then have the application key (RFC 8446 section 2 and 4.6.1).
            self.records_sent = sum(record[0] == _APPLICATION_DATA for record in sent)
        elif sent and not answered and self.hello.small_records:
            self._refuse_small_records()

    def data_to_send(self) -> bytes:
        """What must go to the client now; it is handed out once."""
        data, self._outgoing = self._outgoing, b""
        return data

    def take(self) -> SSL.Connection:
        """The finished connection for its export, once. Raises ValueError in any other state."""
        if self._connection is None or not self.complete or self.exported:
            raise ValueError("the handshake is not complete, or its session is already exported")
        self.exported = True
        return self._connection

    def _begin(self, record: bytes) -> SSL.Connection | None:
        """Gather the ClientHello; None: more must come. What is none goes to the library as it is, as soon as it is
        clear, with the context of a client that names no server."""
        self._early += record
        self._message += record[HEADER_SIZE:]
        if record[0] == _HANDSHAKE and len(record) > HEADER_SIZE and is_incomplete(self._message):
            return None
        self.hello = read_hello(self._message)
        self._context = context = self._choose(self.hello.server_name)
        if context.expired:
            self._outgoing = _HANDSHAKE_FAILURE
            reason = f"the certificate of {context.identity} has expired"
            raise HandshakeError("handshake_failure", reason, "certificate expired")
        self._connection = connection = SSL.Connection(context.library_context, None)
        connection.set_app_data(self.witness)
        connection.set_accept_state()
        connection.bio_write(self._early)
        self._early = self._message = b""
        return connection

    def _send_drained(self, connection: SSL.Connection) -> list[bytes]:
        """Take everything the library has written: more than one read when the certificate chain is long."""
        data, more = b"", True
        with contextlib.suppress(SSL.WantReadError):  # nothing
            while more:
                part = connection.bio_read(_DRAIN_SIZE)
                data += part
                more = len(part) == _DRAIN_SIZE
        self._outgoing += data
        records = _records(data)
        if records:
            self.last_record = records[-1]
        return records

    def _refuse_small_records(self) -> None:
        """The library agrees to max_fragment_length. Session does not know of it, and the client would break off at
        the first large record, with a picture on the screen and no reason in the log."""
        self._outgoing = _HANDSHAKE_FAILURE
        raise HandshakeError("handshake_failure", "the client asks for max_fragment_length, which is not supported")

    def _failure(self, error: SSL.Error) -> HandshakeError:
        if self.witness.alert is None:
            return HandshakeError("", error_text(error))
        name = alert_name(self.witness.alert)
        if self.witness.alert_by_peer:
            return HandshakeError(name, f"the client refused: {name}")
        return HandshakeError(name, error_text(error))


def _records(data: bytes) -> list[bytes]:
    """The whole records in a row that the library has written."""
    found = []
    while data:
        size = HEADER_SIZE + int.from_bytes(data[3:5])
        found.append(data[:size])
        data = data[size:]
    return found
