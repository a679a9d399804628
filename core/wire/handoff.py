"""The secret half of a hand-off: what travels beside a descriptor in one SOCK_SEQPACKET datagram (core.net.fdpass).

Layout: msgpack array [version, handoff, session, unread]. `session` is empty for plain RTSP, else the export of
camfleet.core.tls.Session, which alone knows its inside. `unread` is ciphertext (plain: nothing) already taken from
the socket: the start of a record that a worker had not seen whole when it handed back.
Largest datagram: 64 KiB, by the limit of one record (5 + 16,640 bytes) and an export under 300 bytes.
"""

import msgspec

HANDOFF_VERSION = 1
MAX_DATAGRAM_SIZE = 65_536


class HandoffRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    handoff: int
    session: bytes
    unread: bytes = b""

    def pack(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def unpack(data: bytes) -> "HandoffRecord":
        """Raises msgspec.ValidationError or DecodeError on anything but one record of this version."""
        record = _decoder.decode(data)
        if record.version != HANDOFF_VERSION:
            raise msgspec.ValidationError(f"hand-off version {record.version}, this build speaks {HANDOFF_VERSION}")
        return record

    def __repr__(self) -> str:
        """Without the secrets: records end up in tracebacks."""
        return f"HandoffRecord(handoff={self.handoff}, tls={bool(self.session)}, unread={len(self.unread)} bytes)"


_decoder = msgspec.msgpack.Decoder(HandoffRecord)
