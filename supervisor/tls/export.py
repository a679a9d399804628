"""Take a session out of the handshake library: what a worker needs to go on, and nothing of the private key."""

import hmac
from typing import NamedTuple

from camfleet.core.tls import Session
from camfleet.core.wire.control import TLSInfo
from cryptography import x509
from OpenSSL import SSL

from .client_certificate import user_of
from .context import Policy
from .handshake import Driver

_TLS_1_2 = 0x0303
_TLS_1_3 = 0x0304
_GCM_SALT_SIZE = 4


class Suite(NamedTuple):
    """A cipher suite as registered with IANA; sizes are those of TLS 1.2's key block (RFC 5246 6.3)."""

    number: int
    name: str
    prf_hash: str
    key_size: int
    iv_size: int  # the fixed part: 4 for GCM (RFC 5288 3), 12 for ChaCha20-Poly1305 (RFC 7905 2)


# By the library's name.
SUITES = {
    "TLS_AES_128_GCM_SHA256": Suite(0x1301, "TLS_AES_128_GCM_SHA256", "sha256", 16, 12),
    "TLS_AES_256_GCM_SHA384": Suite(0x1302, "TLS_AES_256_GCM_SHA384", "sha384", 32, 12),
    "TLS_CHACHA20_POLY1305_SHA256": Suite(0x1303, "TLS_CHACHA20_POLY1305_SHA256", "sha256", 32, 12),
    "ECDHE-ECDSA-AES128-GCM-SHA256": Suite(0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "sha256", 16, 4),
    "ECDHE-ECDSA-AES256-GCM-SHA384": Suite(0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "sha384", 32, 4),
    "ECDHE-RSA-AES128-GCM-SHA256": Suite(0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "sha256", 16, 4),
    "ECDHE-RSA-AES256-GCM-SHA384": Suite(0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "sha384", 32, 4),
    "ECDHE-RSA-CHACHA20-POLY1305": Suite(0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "sha256", 32, 12),
    "ECDHE-ECDSA-CHACHA20-POLY1305": Suite(0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "sha256", 32, 12),
}


def export(driver: Driver, now_ns: int) -> tuple[Session, TLSInfo]:
    """The session of a complete handshake, once, and what may be shown of it. Raises ValueError in any other state."""
    connection = driver.take()
    policy = driver.context.policy
    suite = SUITES[connection.get_cipher_name() or ""]
    if connection.get_protocol_version() == _TLS_1_3:
        session = _tls_1_3(driver, suite, now_ns)
    else:
        session = _tls_1_2(driver, connection, suite, now_ns)
    client = _client_certificate(connection, policy)
    info = TLSInfo(
        version=connection.get_protocol_version_name(),
        suite=suite.name,
        group=connection.get_group_name() or "",
        server_name=driver.hello.server_name,
        certificate=driver.context.identity,
        certificate_fingerprint=driver.context.shown(connection),
        client_user=user_of(client, policy.client_user) if client else "",
        client_authority=policy.authority if client else "",
    )
    return session, info


def _client_certificate(connection: SSL.Connection, policy: Policy) -> x509.Certificate | None:
    """The one that the library has verified; None: it was not asked for, or not shown."""
    return None if policy.client_certificates == "off" else connection.get_peer_certificate(as_cryptography=True)


def _tls_1_3(driver: Driver, suite: Suite, now_ns: int) -> Session:
    return Session.from_secrets(
        version=_TLS_1_3,
        suite=suite.number,
        sending_secret=driver.witness.server_secret,
        receiving_secret=driver.witness.client_secret,
        sending_sequence=driver.records_sent,
        receiving_sequence=0,
        now_ns=now_ns,
    )


def _tls_1_2(driver: Driver, connection: SSL.Connection, suite: Suite, now_ns: int) -> Session:
    """RFC 5246 6.3; both Finished, whichever came first, were number 0 of their direction."""
    master, server_random = connection.master_key(), connection.server_random()
    client_random = connection.client_random()
    if master is None or server_random is None or client_random is None:
        raise ValueError("the library has no master secret")
    client_key, server_key, client_iv, server_iv = key_block(suite, master, server_random + client_random)
    # Of our Finished, the last record of either kind of handshake; Session counts on from there (RFC 5288 3).
    explicit_nonce = driver.last_record[5:13] if suite.iv_size == _GCM_SALT_SIZE else b""
    return Session.from_secrets(
        version=_TLS_1_2,
        suite=suite.number,
        sending_secret=server_key,
        receiving_secret=client_key,
        sending_iv=server_iv + explicit_nonce,
        receiving_iv=client_iv,
        sending_sequence=1,
        receiving_sequence=1,
        now_ns=now_ns,
    )


def key_block(suite: Suite, master: bytes, seed: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """client_write_key, server_write_key, client_write_IV, server_write_IV (AEAD: no MAC keys between).

    `seed` is the server's random, then the client's.
    """
    sizes = (suite.key_size, suite.key_size, suite.iv_size, suite.iv_size)
    block = prf(suite.prf_hash, master, b"key expansion", seed, sum(sizes))
    parts = []
    for size in sizes:
        parts.append(block[:size])
        block = block[size:]
    return parts[0], parts[1], parts[2], parts[3]


def prf(hash_name: str, secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """PRF of RFC 5246 5: P_hash(secret, label + seed)."""
    seed = label + seed
    a = seed
    out = b""
    while len(out) < size:
        a = hmac.digest(secret, a, hash_name)
        out += hmac.digest(secret, a + seed, hash_name)
    return out[:size]
