"""RFC 7616 and RFC 2617 vectors, nonce policy, leniencies."""

from base64 import b64encode
from hashlib import md5, sha256

import pytest
from camfleet.core.rtsp import Authenticator, StreamPath
from camfleet.core.rtsp.digest import LoginError, NonceCounter, StaleNonceError
from camfleet.core.rtsp.headers.authorization import parse_authorization
from camfleet.core.wire import UserSpec

from tests.kit.rtsp import NONCE_KEY, REALM, SECOND, START_NS, URL, USERS, authenticator, digest, user

ADDRESS = "192.0.2.99"
PATH = StreamPath.parse(URL)
assert PATH is not None


def nonce(of: Authenticator, address: str = ADDRESS, now_ns: int = START_NS) -> str:
    return of.challenges(address, now_ns, secure=False)[0].split('nonce="')[1].partition('"')[0]


def verify(
    of: Authenticator,
    line: str,
    *,
    method: str = "PLAY",
    url: StreamPath = PATH,
    address: str = ADDRESS,
    counter: NonceCounter | None = None,
    now_ns: int = START_NS,
) -> str:
    credentials = parse_authorization(line.removeprefix("Authorization: "))
    assert credentials is not None
    return of.verify(
        credentials, method=method, url=url, address=address, counter=counter or NonceCounter(), now_ns=now_ns
    )


class TestVectors:
    """The RFCs' nonces are not ours: a right digest is told from a wrong one by stale or failed."""

    RFC7616 = (  # 3.9.1
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{}", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    RFC2617 = (  # 3.5
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
        'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    CASES = (
        ("rfc7616_3.9.1_md5", "http-auth@example.org", "Circle of Life",
         RFC7616.format("MD5", "8ca523f5e9506fed4657c9700eebdbec")),
        ("rfc7616_3.9.1_sha256", "http-auth@example.org", "Circle of Life",
         RFC7616.format("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")),
        ("rfc2617_3.5", "testrealm@host.com", "Circle Of Life", RFC2617),
    )  # fmt: skip

    @pytest.mark.parametrize(("realm", "password", "line"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
    def test_response(self, realm: str, password: str, line: str) -> None:
        a1 = f"Mufasa:{realm}:{password}".encode()
        spec = UserSpec(name="Mufasa", ha1_md5=md5(a1).hexdigest(), ha1_sha256=sha256(a1).hexdigest())
        auth = Authenticator([spec], realm=realm, nonce_key=NONCE_KEY, sha256=True)
        with pytest.raises(StaleNonceError):
            verify(auth, line, method="GET", url=StreamPath())
        for wrong in (line.replace('response="', 'response="0'), line.replace("index", "undex")):
            with pytest.raises(LoginError):
                verify(auth, wrong, method="GET", url=StreamPath())
        with pytest.raises(LoginError):
            verify(auth, line, method="POST", url=StreamPath())


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("nc", [None, 1], ids=["rfc2069", "qop"])
def test_right_and_wrong_passwords(algorithm: str, nc: int | None) -> None:
    auth = authenticator(sha256=True)
    assert verify(auth, digest("PLAY", URL, nonce(auth), nc=nc, algorithm=algorithm)) == "viewer"
    for username, password in (("viewer", "Secret"), ("viewer", ""), ("guard", "secret"), ("nobody", "secret")):
        line = digest("PLAY", URL, nonce(auth), nc=nc, algorithm=algorithm, username=username, password=password)
        with pytest.raises(LoginError):
            verify(auth, line)


def test_sha256_is_opt_in() -> None:
    auth = authenticator()
    with pytest.raises(LoginError):
        verify(auth, digest("PLAY", URL, nonce(auth), algorithm="SHA-256"))


def test_a_user_without_sha256_hash_does_not_get_in_by_an_empty_one() -> None:
    auth = authenticator(users=[UserSpec(name="viewer", ha1_md5=USERS[0].ha1_md5)], sha256=True)
    n = nonce(auth)
    ha2 = sha256(f"PLAY:{URL}".encode()).hexdigest()
    response = sha256(f":{n}:{ha2}".encode()).hexdigest()
    line = f'Digest username="viewer", nonce="{n}", uri="{URL}", response="{response}", algorithm=SHA-256'
    with pytest.raises(LoginError):
        verify(auth, line)


def test_nobody_is_not_a_user() -> None:
    """The stand-in for unknown users has a hash that nobody can log in with, the empty name included."""
    auth = authenticator(users=[])
    with pytest.raises(LoginError):
        verify(auth, digest("PLAY", URL, nonce(auth), username="", password=""))
    n = nonce(auth)
    ha1 = md5(NONCE_KEY).hexdigest()
    response = md5(f"{ha1}:{n}:{md5(f'PLAY:{URL}'.encode()).hexdigest()}".encode()).hexdigest()
    with pytest.raises(LoginError):
        verify(auth, f'Digest username="", nonce="{n}", uri="{URL}", response="{response}"')


@pytest.mark.parametrize("name", ["J\xe4ger\U0001f3a5", 'quote"', "back\\slash", "<b>", "%s%n", "'; --"])
def test_names_of_any_character(name: str) -> None:
    auth = authenticator(users=[user(name, "secret")])
    line = digest("PLAY", URL, nonce(auth), username=name)
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').encode().decode("latin-1")
    line = line.replace(f'username="{name.encode().decode("latin-1")}"', f'username="{escaped}"')
    assert verify(auth, line) == name
    basic = b64encode(f"{name}:secret".encode()).decode()
    assert verify(auth, f"Basic {basic}") == name


@pytest.mark.parametrize(
    ("token", "accepted"),
    [
        (b"viewer:secret", True),
        (b"viewer:secret ", False),
        (b"viewer:", False),
        (b"nobody:secret", False),
        (b":", False),
    ],
)
def test_basic(token: bytes, accepted: bool) -> None:
    line = "Basic " + b64encode(token).decode()
    if accepted:
        assert verify(authenticator(), line) == "viewer"
    else:
        with pytest.raises(LoginError):
            verify(authenticator(), line)


@pytest.mark.parametrize("algorithm", ["MD5-sess", "SHA-512-256", "", "none"])
def test_other_algorithms_fail(algorithm: str) -> None:
    auth = authenticator(sha256=True)
    with pytest.raises(LoginError):
        verify(auth, digest("PLAY", URL, nonce(auth)) + f", algorithm={algorithm}")


def test_auth_int_fails() -> None:
    auth = authenticator()
    with pytest.raises(LoginError):
        verify(auth, digest("PLAY", URL, nonce(auth), nc=1).replace("qop=auth", "qop=auth-int"))


@pytest.mark.parametrize(
    ("uri", "accepted"),
    [
        ("/ipc1-stream1/testlive", True),  # Bosch BVMS
        ("ipc1-stream1/testlive", True),
        ("rtsp://192.0.2.7:8554/ipc1-stream1/testlive/", True),  # VLC signs the base URL of a track's SETUP
        ("rtsp://192.0.2.7:8554/ipc1-stream1", True),  # HappyTime
        ("rtsps://other.example/ipc1", True),
        ("rtsp://192.0.2.7:8554/ipc2-stream1/testlive", False),
        ("/", False),
        ("*", False),
        ("", False),
        ("not a url", False),
    ],
)
def test_uri_leniency_ends_at_the_camera(uri: str, accepted: bool) -> None:
    auth = authenticator()
    track = StreamPath.parse(URL + "/trackID=0")
    assert track is not None
    line = digest("SETUP", URL, nonce(auth), uri=uri)
    if accepted:
        assert verify(auth, line, method="SETUP", url=track) == "viewer"
    else:
        with pytest.raises(LoginError):
            verify(auth, line, method="SETUP", url=track)


def test_a_request_for_no_camera_may_be_signed_for_any() -> None:
    auth = authenticator()
    assert verify(auth, digest("GET_PARAMETER", URL, nonce(auth)), method="GET_PARAMETER", url=StreamPath()) == "viewer"


class TestNonce:
    def test_expires(self) -> None:
        auth = authenticator(nonce_lifetime_s=300)
        line = digest("PLAY", URL, nonce(auth))
        assert verify(auth, line, now_ns=START_NS + 300 * SECOND) == "viewer"
        with pytest.raises(StaleNonceError):
            verify(auth, line, now_ns=START_NS + 301 * SECOND)

    def test_is_bound_to_the_address(self) -> None:
        auth = authenticator()
        with pytest.raises(StaleNonceError):
            verify(auth, digest("PLAY", URL, nonce(auth, "192.0.2.98")))

    def test_of_another_process_with_the_same_key_is_good(self) -> None:
        assert verify(authenticator(), digest("PLAY", URL, nonce(authenticator()))) == "viewer"

    def test_of_another_key_is_not(self) -> None:
        other = Authenticator(USERS, realm=REALM, nonce_key=b"x" * 32)
        with pytest.raises(StaleNonceError):
            verify(authenticator(), digest("PLAY", URL, nonce(other)))

    @pytest.mark.parametrize("forged", ["", "0", "f" * 44, "g" * 44, "-1" + "0" * 42, "0" * 12 + "0" * 32, "\xe4" * 44])
    def test_forged(self, forged: str) -> None:
        line = digest("PLAY", URL, "N").replace('"N"', f'"{forged}"')
        auth = authenticator()
        ha1, ha2 = USERS[0].ha1_md5, md5(f"PLAY:{URL}".encode()).hexdigest()
        right = md5(f"{ha1}:{forged}:{ha2}".encode("latin-1")).hexdigest()
        with pytest.raises(StaleNonceError):
            verify(auth, line.partition(", response")[0] + f', response="{right}"')

    def test_time_of_an_expired_nonce_cannot_be_moved(self) -> None:
        auth = authenticator()
        old = nonce(auth)
        later = START_NS + 1000 * SECOND
        fresh = nonce(auth, now_ns=later)
        with pytest.raises(StaleNonceError):
            verify(auth, digest("PLAY", URL, fresh[:12] + old[12:]), now_ns=later)


class TestNonceCount:
    def test_must_rise(self) -> None:
        auth, counter = authenticator(), NonceCounter()
        n = nonce(auth)
        for nc in (1, 2, 16):
            assert verify(auth, digest("PLAY", URL, n, nc=nc), counter=counter) == "viewer"
        for nc in (16, 15, 1):
            with pytest.raises(StaleNonceError):
                verify(auth, digest("PLAY", URL, n, nc=nc), counter=counter)
        assert verify(auth, digest("PLAY", URL, n, nc=17), counter=counter) == "viewer"

    def test_begins_again_with_a_newer_nonce_and_never_goes_back(self) -> None:
        auth, counter = authenticator(), NonceCounter()
        old, new = nonce(auth), nonce(auth, now_ns=START_NS + SECOND)
        for n, nc in ((old, 5), (new, 1)):
            assert verify(auth, digest("PLAY", URL, n, nc=nc), counter=counter) == "viewer"
        with pytest.raises(StaleNonceError):
            verify(auth, digest("PLAY", URL, old, nc=6), counter=counter)

    def test_is_not_moved_by_a_wrong_password(self) -> None:
        auth, counter = authenticator(), NonceCounter()
        with pytest.raises(LoginError):
            verify(auth, digest("PLAY", URL, nonce(auth), nc=9, password="wrong"), counter=counter)
        assert verify(auth, digest("PLAY", URL, nonce(auth), nc=1), counter=counter) == "viewer"

    def test_garbage(self) -> None:
        auth = authenticator()
        n, ha1, ha2 = nonce(auth), USERS[0].ha1_md5, md5(f"PLAY:{URL}".encode()).hexdigest()
        response = md5(f"{ha1}:{n}:xyz:c:auth:{ha2}".encode()).hexdigest()
        line = (
            f'Digest username="viewer", nonce="{n}", uri="{URL}", response="{response}", qop=auth, nc=xyz, cnonce="c"'
        )
        with pytest.raises(StaleNonceError):
            verify(auth, line)


def test_challenges() -> None:
    """One line each, MD5 first and unnamed, live555's order of parameters, Basic only when secure."""
    auth = authenticator(sha256=True)
    first, second, third = auth.challenges(ADDRESS, START_NS, secure=True, stale=True)
    n = nonce(auth)
    assert first == f'Digest realm="camfleet", nonce="{n}", stale=true, qop="auth"'
    assert second == f'Digest realm="camfleet", nonce="{n}", stale=true, algorithm=SHA-256, qop="auth"'
    assert third == 'Basic realm="camfleet"'
    assert authenticator().challenges(ADDRESS, START_NS, secure=False) == [
        f'Digest realm="camfleet", nonce="{n}", qop="auth"'
    ]


def test_users_are_replaced_at_once() -> None:
    auth = authenticator()
    line = digest("PLAY", URL, nonce(auth))
    assert verify(auth, line) == "viewer"
    auth.set_users([user("viewer", "changed")])
    with pytest.raises(LoginError):
        verify(auth, line)
