"""A context proves itself before anybody gets it: real handshakes, in memory, with clients of every kind it serves."""

import contextlib

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from .context import CertificateError, ServerContext, Witness, error_text

_DRAIN_SIZE = 65_536
_MAX_TURNS = 4  # ClientHello; ServerHello to Finished; Finished; tickets


def rehearse(context: ServerContext) -> None:
    """TLS 1.3, and TLS 1.2 for each key type. Raises CertificateError when a handshake fails or shows another
    certificate. Client certificates are left out: we have none."""
    _handshake(context, SSL.TLS1_3_VERSION, b"", set(context.fingerprints.values()))
    if not context.policy.strict:
        for kind, fingerprint in context.fingerprints.items():
            _handshake(context, SSL.TLS1_2_VERSION, f"ECDHE+a{kind}".encode(), {fingerprint})


def _handshake(context: ServerContext, version: int, suites: bytes, expected: set[str]) -> None:
    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_min_proto_version(version)
    client_context.set_max_proto_version(version)
    if suites:
        client_context.set_cipher_list(suites)
    client, server = SSL.Connection(client_context, None), SSL.Connection(context.library_context, None)
    client.set_connect_state()
    server.set_accept_state()
    server.set_app_data(Witness())
    server.set_verify(SSL.VERIFY_NONE)
    try:
        for _ in range(_MAX_TURNS):
            for here, there in ((client, server), (server, client)):
                with contextlib.suppress(SSL.WantReadError):
                    here.do_handshake()
                with contextlib.suppress(SSL.WantReadError):
                    there.bio_write(here.bio_read(_DRAIN_SIZE))
        client.do_handshake()
        server.do_handshake()
    except SSL.WantReadError:
        raise CertificateError("a rehearsed handshake does not end") from None
    except SSL.Error as error:
        raise CertificateError(f"a rehearsed handshake failed: {error_text(error)}") from None
    shown = client.get_peer_certificate(as_cryptography=True)
    if shown is None or shown.fingerprint(hashes.SHA256()).hex() not in expected:
        raise CertificateError("a rehearsed handshake showed another certificate")
