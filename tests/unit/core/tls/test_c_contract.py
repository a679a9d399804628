"""What session.pxd and record.pxd promise to the engine and Python cannot see: capacities, and secrets in memory."""

from ctypes import c_int, c_int64, c_size_t, c_uint8, c_void_p

import pytest

from tests.kit.capi import buffer, c_function
from tests.kit.tls import Peer, connect, octets
from tests.reference.tls_record import SUITES, TLS_1_3, Suite

STRUCT_SIZE = 4096  # more than a TLSSession
ERROR_SHORT = -1
UNTOUCHED = 0xA5
AES = SUITES[0]
SESSION, MOVE = "camfleet.core.tls.session", "camfleet.core.tls.move"

session_import = c_function(MOVE, "session_import", c_int, c_void_p, c_void_p, c_size_t, c_int64)
session_export = c_function(MOVE, "session_export", c_int64, c_void_p, c_void_p, c_size_t, c_int64)
session_wipe = c_function(SESSION, "session_wipe", None, c_void_p)
session_seal_bound = c_function(SESSION, "session_seal_bound", c_size_t, c_void_p, c_size_t)
session_seal = c_function(SESSION, "session_seal", c_int64, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_int64)
session_seal_alert = c_function(SESSION, "session_seal_alert", c_int64, c_void_p, c_uint8, c_uint8, c_void_p, c_size_t)


def connect_in_memory(suite: Suite, due: bool = False) -> tuple[bytearray, Peer]:
    """A TLSSession whose memory the test can read; `due`: something goes before the next data."""
    session, peer = connect(suite)
    if due and suite.version == TLS_1_3:
        session.receive(peer.update(1), 0)
    elif due:
        session.receive(peer.sending.seal(b"\x01\x00\x00\x00", 22), 0)
    exported = session.export(0)
    memory = bytearray(STRUCT_SIZE)
    assert session_import(buffer(memory), exported, len(exported), 0) == 0
    return memory, peer


def exported(memory: bytearray) -> bytes:
    out = bytearray(512)
    return bytes(out[: session_export(buffer(memory), buffer(out), len(out), 0)])


@pytest.mark.parametrize("due", [False, True])
@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 50_000])
def test_seal_within_its_bound_or_not_at_all(suite: Suite, size: int, due: bool) -> None:
    memory, peer = connect_in_memory(suite, due)
    data = octets("frame", size)
    bound = session_seal_bound(buffer(memory), size)
    before = exported(memory)
    for capacity in (0, bound // 2, bound - 1):
        out = bytearray([UNTOUCHED]) * bound
        assert session_seal(buffer(memory), data, size, buffer(out), capacity, 0) == ERROR_SHORT
        assert out == bytearray([UNTOUCHED]) * bound
        assert exported(memory) == before
    out = bytearray([UNTOUCHED]) * (bound + 64)
    written = session_seal(buffer(memory), data, size, buffer(out), bound, 0)
    assert written <= bound
    assert out[written:] == bytearray([UNTOUCHED]) * (bound + 64 - written)
    opened = peer.open(bytes(out[:written]))
    assert len(opened) == -(-size // 16_384) + due
    assert b"".join(content for content_type, content in opened if content_type == 23) == data
    session_wipe(buffer(memory))


def test_alert_within_its_capacity_or_not_at_all(suite: Suite) -> None:
    memory, peer = connect_in_memory(suite)
    out = bytearray(64)
    before = exported(memory)
    for capacity in range(5 + 2 + 16):
        assert session_seal_alert(buffer(memory), 1, 0, buffer(out), capacity) == ERROR_SHORT
        assert exported(memory) == before
    written = session_seal_alert(buffer(memory), 1, 0, buffer(out), len(out))
    assert peer.open(bytes(out[:written])) == [(21, b"\x01\x00")]
    session_wipe(buffer(memory))


def test_export_within_its_capacity_or_not_at_all(suite: Suite) -> None:
    memory, _ = connect_in_memory(suite)
    out = bytearray(512)
    size = session_export(buffer(memory), buffer(out), len(out), 0)
    out = bytearray([UNTOUCHED]) * 512
    assert session_export(buffer(memory), buffer(out), size - 1, 0) == ERROR_SHORT
    assert out == bytearray([UNTOUCHED]) * 512
    session_wipe(buffer(memory))


def test_wipe_leaves_no_secret(suite: Suite) -> None:
    memory, peer = connect_in_memory(suite)
    assert peer.sending.secret in memory
    assert peer.receiving.secret in memory
    session_wipe(buffer(memory))
    assert peer.sending.secret not in memory
    assert peer.receiving.secret not in memory
    assert sum(byte != 0 for byte in memory) < 8  # "closed", and nothing else
    session_wipe(buffer(memory))


def test_wipe_of_zeroed_memory() -> None:
    session_wipe(buffer(bytearray(STRUCT_SIZE)))


def test_key_update_leaves_no_old_secret() -> None:
    """RFC 8446 7.2: once the next secret is computed, the former one should be deleted."""
    memory, peer = connect_in_memory(AES, due=True)
    old = peer.receiving.secret
    assert old in memory
    out = bytearray(256)
    assert len(peer.open(bytes(out[: session_seal(buffer(memory), b"media", 5, buffer(out), 256, 0)]))) == 2
    assert old not in memory
    assert peer.receiving.secret in memory
    session_wipe(buffer(memory))


def test_refused_import_leaves_nothing() -> None:
    memory, peer = connect_in_memory(AES)
    data = bytearray(exported(memory))
    session_wipe(buffer(memory))
    data[53] = 0xFF  # the size of the sending secret
    assert session_import(buffer(memory), bytes(data), len(data), 0) == -3
    assert peer.receiving.secret not in memory
    assert peer.sending.secret not in memory
