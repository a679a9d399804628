"""RFC 8448 3, Simple 1-RTT Handshake: the application traffic of both sides, byte for byte. See SOURCES.md."""

import pytest
from camfleet.core.tls import Session, TLSError

from tests.reference.tls_record import ALERT, APPLICATION_DATA, HANDSHAKE, SUITES, Direction, expand_label

pytestmark = pytest.mark.usefixtures("both_gcm_libraries")

AES_128_GCM = SUITES[0]

CLIENT_SECRET = bytes.fromhex("9e40646ce79a7f9dc05af8889bce6552 875afa0b06df0087f792ebb7c17504a5")
SERVER_SECRET = bytes.fromhex("a11af9f05531f856ad47116b45a95032 8204b4f44bfb6b3a4b4f1f3fcb631643")
CLIENT_KEY = bytes.fromhex("17422dda596ed5d9acd890e3c63f5051")
CLIENT_IV = bytes.fromhex("5b78923dee08579033e523d9")
SERVER_KEY = bytes.fromhex("9f02283b6c9c07efc26bb9f2ac92e356")
SERVER_IV = bytes.fromhex("cf782b88dd83549aadf1e984")
# Not in the RFC: application_traffic_secret_1 of both sides, as Botan's tests have them.
CLIENT_SECRET_1 = bytes.fromhex("fcdfcc72725aaee48bf64e4fd8b749cd bdbab39d90da0b26e2245ca6ea167207")
SERVER_SECRET_1 = bytes.fromhex("51921b8aa3001976eb401d0a4319a851 6416a6c56001a357e5d162031e84f916")

PAYLOAD = bytes(range(0x32))
# {server} send NewSessionTicket: its record 0.
SERVER_TICKET = bytes.fromhex("""
    17030300de 3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db289a015940252f
    55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972ac46f75
    f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c86
    519d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c
    8153556b3b6c6779b37bf15985684f""")
CLIENT_DATA = bytes.fromhex("""
    1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62
    974e1f5a6292a2977014bd1e3deae63aeebb21694915e4""")
SERVER_DATA = bytes.fromhex("""
    1703030043 2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fc
    c49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d""")
CLIENT_CLOSE = bytes.fromhex("1703030013 c9872760655666b74d7ff1153efd6db6d0b0e3")
SERVER_CLOSE = bytes.fromhex("1703030013 b58fd67166ebf599d24720cfbe7efa7a8864a9")


def server_session() -> Session:
    """After the ticket, which the handshake library sent: the server's next record is number 1."""
    return Session.from_secrets(
        version=0x0304,
        suite=0x1301,
        sending_secret=SERVER_SECRET,
        receiving_secret=CLIENT_SECRET,
        sending_sequence=1,
    )


def client_session(sequence: int = 1) -> Session:
    return Session.from_secrets(
        version=0x0304,
        suite=0x1301,
        sending_secret=CLIENT_SECRET,
        receiving_secret=SERVER_SECRET,
        receiving_sequence=sequence,
    )


@pytest.mark.parametrize(
    ("secret", "key", "iv"), [(CLIENT_SECRET, CLIENT_KEY, CLIENT_IV), (SERVER_SECRET, SERVER_KEY, SERVER_IV)]
)
def test_reference_derives_the_keys(secret: bytes, key: bytes, iv: bytes) -> None:
    assert expand_label(secret, b"key", b"", 16, "sha256") == key
    assert expand_label(secret, b"iv", b"", 12, "sha256") == iv


@pytest.mark.parametrize(("secret", "updated"), [(CLIENT_SECRET, CLIENT_SECRET_1), (SERVER_SECRET, SERVER_SECRET_1)])
def test_reference_updates_the_secret(secret: bytes, updated: bytes) -> None:
    direction = Direction(AES_128_GCM, secret, sequence=7)
    direction.update()
    assert (direction.secret, direction.sequence) == (updated, 0)


def test_reference_opens_the_trace() -> None:
    client, server = Direction(AES_128_GCM, CLIENT_SECRET), Direction(AES_128_GCM, SERVER_SECRET)
    assert client.open(CLIENT_DATA) == (APPLICATION_DATA, PAYLOAD)
    assert client.open(CLIENT_CLOSE) == (ALERT, b"\x01\x00")
    content_type, ticket = server.open(SERVER_TICKET)
    assert (content_type, ticket[:4]) == (HANDSHAKE, b"\x04\x00\x00\xc9")
    assert server.open(SERVER_DATA) == (APPLICATION_DATA, PAYLOAD)
    assert server.open(SERVER_CLOSE) == (ALERT, b"\x01\x00")


def test_session_of_the_server() -> None:
    session = server_session()
    assert session.receive(CLIENT_DATA, 0) == PAYLOAD
    assert session.seal(PAYLOAD, 0) == SERVER_DATA
    assert session.receive(CLIENT_CLOSE, 0) is None
    assert session.seal_alert(0) == SERVER_CLOSE


def test_session_of_the_client() -> None:
    session = client_session()
    assert session.seal(PAYLOAD, 0) == CLIENT_DATA
    assert session.receive(SERVER_DATA, 0) == PAYLOAD
    assert session.seal_alert(0) == CLIENT_CLOSE
    assert session.receive(SERVER_CLOSE, 0) is None


def test_a_ticket_is_authentic_and_unexpected() -> None:
    with pytest.raises(TLSError) as error:
        client_session(sequence=0).receive(SERVER_TICKET, 0)
    assert error.value.name == "unexpected_message"


def test_key_update_leads_to_the_second_secret() -> None:
    session = client_session()
    session.set_policy(records_soft=0, spacing_s=0)
    records = session.seal(PAYLOAD, 0)
    first, second = Direction(AES_128_GCM, CLIENT_SECRET), Direction(AES_128_GCM, CLIENT_SECRET_1)
    assert first.open(records[:27])[0] == HANDSHAKE
    assert second.open(records[27:]) == (APPLICATION_DATA, PAYLOAD)
