"""The last check: real handshakes with the pair, TLS 1.2 and 1.3, in memory, against a client of the same library.

OpenSSL has rules of its own (key sizes, digests, sizes of messages) that no list of ours follows for ever.
"""

from collections.abc import Iterator, Sequence

from camfleet.supervisor.tls.context import TLS_1_2_SUITES, TLS_1_3_SUITES, error_text
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from .report import Finding

VERSIONS = (("TLS 1.2", SSL.TLS1_2_VERSION), ("TLS 1.3", SSL.TLS1_3_VERSION))
_FLIGHTS = 10  # a handshake takes three
_PART = 65_536
_MESSAGE = b"RTSP/1.0 200 OK\r\n\r\n"


def rehearse(
    chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> Iterator[Finding]:
    """A finding for each version."""
    for name, version in VERSIONS:
        check = f"handshake {name}"
        try:
            suite = _handshake(chain, key, version)
        except SSL.Error as error:
            yield Finding("block", check, f"it fails: {error_text(error)}; make a new key and certificate")
        else:
            yield Finding("pass", check, suite)


def _handshake(
    chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, version: int
) -> str:
    """The suite agreed on, after a message each way. Raises SSL.Error."""
    ours = _context(SSL.TLS_SERVER_METHOD, version)
    ours.use_certificate(chain[0])
    ours.use_privatekey(key)
    for issuer in chain[1:]:
        ours.add_extra_chain_cert(issuer)
    theirs = _context(SSL.TLS_CLIENT_METHOD, version)
    server, client = SSL.Connection(ours, None), SSL.Connection(theirs, None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(_FLIGHTS):
        if all([_step(client, server), _step(server, client)]):
            break
    for sender, receiver in ((server, client), (client, server)):
        sender.send(_MESSAGE)
        _carry(sender, receiver)
        if receiver.recv(_PART) != _MESSAGE:
            raise SSL.Error("the message was changed")
    shown = client.get_peer_certificate(as_cryptography=True)
    if shown != chain[0]:
        raise SSL.Error("another certificate was shown")
    return client.get_cipher_name() or ""


def _context(method: int, version: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(TLS_1_2_SUITES)
    context.set_tls13_ciphersuites(TLS_1_3_SUITES)
    return context


def _step(actor: SSL.Connection, peer: SSL.Connection) -> bool:
    """Go on as far as the bytes reach; whether the actor's handshake is complete."""
    try:
        actor.do_handshake()
        complete = True
    except SSL.WantReadError:
        complete = False
    _carry(actor, peer)
    return complete


def _carry(sender: SSL.Connection, receiver: SSL.Connection) -> None:
    while True:
        try:
            data = sender.bio_read(_PART)
        except SSL.WantReadError:  # nothing more
            return
        receiver.bio_write(data)
