import math

from camfleet.supervisor.credentials import generate_password, user_spec


def test_a_generated_password_is_long_plain_and_new() -> None:
    passwords = {generate_password() for _ in range(200)}
    assert len(passwords) == 200
    alphabet = set("".join(passwords))
    assert all(len(password) >= 20 for password in passwords)
    assert min(map(len, passwords)) * math.log2(len(alphabet)) > 110
    assert all(letter.isascii() and letter.isalnum() for letter in alphabet)
    assert not alphabet & set("0Oo1lI")


def test_the_digest_of_rfc_7616_with_our_realm() -> None:
    # printf 'Mufasa:camfleet:Circle of Life' | md5sum, sha256sum
    user = user_spec("Mufasa", "Circle of Life")
    assert user.ha1_md5 == "fbba11db6f6af557b3cd96926040fb6d"
    assert user.ha1_sha256 == "24ab3b3ac88cdad421bcff73235833e2347395272151d81f80955a851dcfd45b"
