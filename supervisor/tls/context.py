"""What the server offers in a handshake, and the certificate it shows (RFC 8446, RFC 5246)."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

# Preference order of both lists: AES-128-GCM is the cheapest to seal for every reader; ChaCha20 before AES-256, for
# peers that have no AES instructions. Nothing else: core.tls seals exactly these.
TLS_1_3_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
TLS_1_2_SUITES = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)

_CLIENT_LABEL = b"CLIENT_TRAFFIC_SECRET_0"
_SERVER_LABEL = b"SERVER_TRAFFIC_SECRET_0"


PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertificateError(Exception):
    """A certificate and key that cannot be served; the text names the file and what is wrong with it."""


@dataclass(slots=True, repr=False)
class Witness:
    """What the library's callbacks tell of one handshake. No repr: it would show the secrets."""

    client_secret: bytes = b""  # TLS 1.3 traffic secrets, RFC 8446 7.1
    server_secret: bytes = b""
    alert: int | None = None  # the last one, in either direction
    alert_by_peer: bool = False


class ServerContext:
    """One certificate with its private key, ready for handshakes.

    Tickets are sealed with a key of this object: one from another certificate, or from before a rotation, is not
    accepted and a full handshake follows.
    """

    def __init__(self, certificate: Path, private_key: Path) -> None:
        """Both files PEM, the certificate with its chain. Raises CertificateError."""
        chain = _load_chain(certificate)
        key = load_key(private_key)
        if chain[0].public_key() != key.public_key():
            raise CertificateError(f"{private_key} is not the private key of the certificate in {certificate}")
        self.fingerprint = chain[0].fingerprint(hashes.SHA256()).hex()
        self.not_after: datetime = chain[0].not_valid_after_utc
        self.library_context = _context()
        try:
            self.library_context.use_certificate(chain[0])
            self.library_context.use_privatekey(key)
            for issuer in chain[1:]:
                self.library_context.add_extra_chain_cert(issuer)
        except SSL.Error as error:  # such as an RSA key below the library's security level
            raise CertificateError(f"{certificate}: {error_text(error)}") from None


def error_text(error: SSL.Error) -> str:
    """The reasons in OpenSSL's error queue, in its words."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(reason for _, _, reason in queue) or "TLS failure"


def _context() -> SSL.Context:
    # An OpenSSL built with "sslkeylog" writes every secret into the file that this variable names.
    os.environ.pop("SSLKEYLOGFILE", None)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_cipher_list(TLS_1_2_SUITES)
    context.set_tls13_ciphersuites(TLS_1_3_SUITES)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    # Resumption by ticket only: a cache would keep secrets. Early data stays off, as is the library's default. The
    # groups are the library's too: X25519MLKEM768 first where it has it (OpenSSL 3.5).
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_keylog_callback(_on_secret)
    context.set_info_callback(_on_progress)
    return context


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


def _load_chain(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise CertificateError(f"{path} holds no certificate in PEM form") from None


def load_key(path: Path) -> PrivateKey:
    """Raises CertificateError."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None
    except TypeError:
        raise CertificateError(f"{path} is encrypted; camfleet needs it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{path} holds no private key in PEM form") from None
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{path} is neither an ECDSA nor an RSA key")
    return key
