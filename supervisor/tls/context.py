"""What the server offers in a handshake, and the certificate it shows (RFC 8446, RFC 5246)."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from camfleet.supervisor import StartError
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from OpenSSL._util import lib

from .client_certificate import UserRule

# Preference order of both lists: AES-128-GCM is the cheapest to seal for every reader; ChaCha20 before AES-256, for
# peers that have no AES instructions. Nothing else: core.tls seals exactly these.
TLS_1_3_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
TLS_1_2_SUITES = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)

# The library's own choice without P-521, X448 and FFDHE, which no client needs and which cost a handshake up to five
# times as much (docs/decisions/0020). A client is asked for a second try to get one before a "/", not before a ":".
# OpenSSL knows that, and ML-KEM, since 3.5.
GROUPS = b"X25519MLKEM768/X25519:P-256/P-384" if SSL.OPENSSL_VERSION_NUMBER >= 0x30500000 else b"X25519:P-256:P-384"

_CLIENT_LABEL = b"CLIENT_TRAFFIC_SECRET_0"
_SERVER_LABEL = b"SERVER_TRAFFIC_SECRET_0"


KeyType = Literal["ECDSA", "RSA"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertificateError(StartError):
    """A certificate and key that cannot be served; the text says what is wrong with them."""


@dataclass(slots=True, repr=False)
class Witness:
    """What the library's callbacks tell of one handshake. No repr: it would show the secrets."""

    client_secret: bytes = b""  # TLS 1.3 traffic secrets, RFC 8446 7.1
    server_secret: bytes = b""
    alert: int | None = None  # the last one, in either direction
    alert_by_peer: bool = False


ClientCertificates = Literal["off", "optional", "required"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a handshake must be like, whatever the certificate."""

    strict: bool = False  # TLS 1.3 only
    client_certificates: ClientCertificates = "off"
    client_ca: bytes = b""  # PEM: who signs client certificates
    client_user: UserRule = "common_name"

    @property
    def authority(self) -> str:
        """Equal where a client certificate proves the same user; empty: nowhere, none is asked for."""
        if self.client_certificates == "off":
            return ""
        return hashlib.sha256(self.client_user.encode() + b"\0" + self.client_ca).hexdigest()


DEFAULT_POLICY = Policy()


class ServerContext:
    """One identity's certificates, of one generation, with a policy: ready for handshakes.

    Tickets are sealed with a key of this object: one of another identity, or of another generation, is not accepted and
    a full handshake follows.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        policy: Policy = DEFAULT_POLICY,
        *,
        identity: str = "global",
        generation: int = 0,
    ) -> None:
        """Certificate with its chain and private key, both PEM; of two such pairs one ECDSA and one RSA. A client gets
        the one that it can verify, ECDSA when both. Raises CertificateError."""
        self.policy = policy
        self.identity = identity
        self.generation = generation
        self.expired = False  # and not to be served any more; for who watches the clock
        self.fingerprints: dict[KeyType, str] = {}
        self.library_context = _context(policy)
        for chain, private_key in pairs:
            self._add(chain, private_key)
        if not pairs:
            raise CertificateError("there is no certificate")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the first certificate, hex."""
        return next(iter(self.fingerprints.values()))

    def shown(self, connection: SSL.Connection) -> str:
        """The fingerprint of the certificate that a handshake has used; the first one's after a resumption."""
        certificate = connection.get_certificate() if len(self.fingerprints) > 1 else None
        if certificate is None:
            return self.fingerprint
        return self.fingerprints["RSA" if certificate.get_pubkey().type() == crypto.TYPE_RSA else "ECDSA"]

    def _add(self, chain: bytes, private_key: bytes) -> None:
        key = read_key(private_key)
        try:
            leaf = x509.load_pem_x509_certificate(chain)
        except ValueError:
            raise CertificateError("the certificate is not in PEM form") from None
        if leaf.public_key() != key.public_key():
            raise CertificateError("the private key is not the certificate's")
        kind: KeyType = "RSA" if isinstance(key, rsa.RSAPrivateKey) else "ECDSA"
        if kind in self.fingerprints:
            raise CertificateError(f"both certificates are {kind}; the second one must be of the other key type")
        self.fingerprints[kind] = leaf.fingerprint(hashes.SHA256()).hex()
        try:
            # The library's one door to a chain of each certificate's own; add_extra_chain_cert is for all of them.
            with open_in_memory(chain) as path:
                self.library_context.use_certificate_chain_file(path)
            self.library_context.use_privatekey(key)
        except SSL.Error as error:  # such as an RSA key below the library's security level
            raise CertificateError(error_text(error)) from None


@contextlib.contextmanager
def open_in_memory(data: bytes) -> Iterator[str]:
    """A path under which `data` can be read while the context lasts; nothing is written to a disk."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def error_text(error: SSL.Error) -> str:
    """The reasons in OpenSSL's error queue, in its words."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(reason for _, _, reason in queue) or "TLS failure"


def _context(policy: Policy) -> SSL.Context:
    # An OpenSSL built with "sslkeylog" writes every secret into the file that this variable names.
    os.environ.pop("SSLKEYLOGFILE", None)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION if policy.strict else SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_cipher_list(TLS_1_2_SUITES)
    context.set_tls13_ciphersuites(TLS_1_3_SUITES)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    # pyOpenSSL has no door for this. Where it is not (cryptography 46), or one of the groups, the library's list stays.
    choose_groups = getattr(lib, "SSL_CTX_set1_curves_list", None)
    if choose_groups is not None and choose_groups(context._context, GROUPS) != 1:
        lib.ERR_clear_error()
    # Resumption by ticket only: a cache would keep secrets. Early data stays off, as is the library's default.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_keylog_callback(_on_secret)
    context.set_info_callback(_on_progress)
    if policy.client_certificates != "off":
        _ask_for_client_certificates(context, policy)
    return context


def load_authorities(client_ca: bytes) -> list[x509.Certificate]:
    """Who signs client certificates. Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificates(client_ca)
    except ValueError:
        raise CertificateError("there is no certificate in PEM form") from None


def _ask_for_client_certificates(context: SSL.Context, policy: Policy) -> None:
    store = context.get_cert_store()
    assert store is not None
    for authority in load_authorities(policy.client_ca):
        store.add_cert(crypto.X509.from_cryptography(authority))
        context.add_client_ca(authority)
    # An issuing authority may stand in the file without its root.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if policy.client_certificates == "required" else 0
    context.set_verify(SSL.VERIFY_PEER | required)
    # A ticket would carry the client's certificate past its end and past another client_ca.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_id(b"camfleet")  # without it a client that tries to resume is refused


def _on_secret(connection: SSL.Connection, line: bytes) -> None:
    label, _client_random, secret = line.split(b" ")
    witness = cast(Witness, connection.get_app_data())
    if label == _CLIENT_LABEL:
        witness.client_secret = bytes.fromhex(secret.decode())
    elif label == _SERVER_LABEL:
        witness.server_secret = bytes.fromhex(secret.decode())


def _on_progress(connection: SSL.Connection, where: int, value: int) -> None:
    if where & SSL.SSL_CB_ALERT:
        witness = cast(Witness, connection.get_app_data())
        witness.alert = value & 0xFF  # level << 8 | description
        witness.alert_by_peer = bool(where & SSL.SSL_CB_READ)


def load_key(path: Path) -> PrivateKey:
    """From a file. Raises CertificateError."""
    try:
        return read_key(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None
    except CertificateError as error:
        raise CertificateError(f"{path}: {error}") from None


def read_key(private_key: bytes) -> PrivateKey:
    """PEM. Raises CertificateError.

    That the factors of an RSA key are prime is not proved: it takes 0.4 s for 3,072 bits and 13 s for 8,192, and keeps
    the GIL all the while. What is served has been examined, and is rehearsed.
    """
    try:
        key = load_pem_private_key(private_key, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise CertificateError("the private key is encrypted; camfleet needs it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the private key is not in PEM form") from None
    if not isinstance(key, PrivateKey):
        raise CertificateError("the private key is neither ECDSA nor RSA")
    return key
