from typing import Self

from .alert import TLSError as TLSError
from .alert import alert_name as alert_name

class Session:
    """The Python form of a TLSSession, for the supervisor's first-request phase, tests and benchmarks."""

    @classmethod
    def from_secrets(
        cls,
        *,
        version: int,
        suite: int,
        sending_secret: bytes,
        receiving_secret: bytes,
        sending_iv: bytes = b"",
        receiving_iv: bytes = b"",
        sending_sequence: int = 0,
        receiving_sequence: int = 0,
        now_ns: int = 0,
    ) -> Self:
        """TLS 1.3: traffic secrets, no IVs. TLS 1.2: write keys and fixed IVs of the key block. Behind the 4 bytes of
        an AES-GCM `sending_iv` may stand the 8 bytes of explicit nonce that the library's record 0 (our Finished)
        carried: then ours go on counting from there and none can come twice (RFC 5288 3).

        `version` is 0x0303 or 0x0304 and `suite` the registered number. Raises ValueError for anything unsupported.
        """

    @classmethod
    def from_export(cls, data: bytes, now_ns: int = 0) -> Self: ...
    def set_policy(
        self,
        *,
        records_soft: int | None = None,
        records_hard: int | None = None,
        period_s: float | None = None,
        spacing_s: float | None = None,
    ) -> None: ...
    def receive(self, record: bytes, now_ns: int) -> bytes | None:
        """Open one whole record: application data (may be empty: nothing to deliver) or None on close_notify.

        Raises TLSError, with the alert to send, on anything that ends the session.
        """

    def seal(self, data: bytes, now_ns: int) -> bytes:
        """Records of `data`, a due KeyUpdate first. Raises TLSError at the limit of a key."""

    def seal_alert(self, description: int) -> bytes:
        """A close_notify (0) or a fatal alert as one record."""

    def export(self, now_ns: int) -> bytes:
        """The whole state; this object is wiped, as a connection has one writer. Raises TLSError when it is over."""

    def wipe(self) -> None: ...
    @property
    def answer_due(self) -> bool:
        """The peer waits for an answer (KeyUpdate, no_renegotiation): `seal(b"", now_ns)` gives it."""

    @property
    def close_received(self) -> bool:
        """The peer will say nothing more."""

    @property
    def alert_received(self) -> int | None: ...
    @property
    def sending_sequence(self) -> int: ...
    @property
    def receiving_sequence(self) -> int: ...

HEADER_SIZE: int  # of a record

def record_size(data: bytes) -> int:
    """Size of the record that begins at `data`, header included; 0 while the header is incomplete.

    Raises TLSError(record_overflow or unexpected_message) for what cannot be a record after the handshake.
    """
