"""Certificates in any order become a chain: leaf first, each one's issuer next, without its root."""

import random

import pytest
from camfleet.supervisor.examine.chain import build
from cryptography import x509

from tests.kit.certificates import DAY, NOW, Issuer, Recipe, authority, ec_key

ROOT = authority("Root")
FIRST = authority("First", ROOT)
SECOND = authority("Second", FIRST)
KEY = ec_key()
LEAF = Recipe().made(KEY, SECOND)
STRANGER = authority("Stranger").certificate
SENT = (LEAF, SECOND.certificate, FIRST.certificate)


@pytest.mark.parametrize(
    ("given", "chain", "done"),
    [
        (SENT, SENT, set()),
        ((LEAF,), (LEAF,), set()),
        ((LEAF, FIRST.certificate), (LEAF,), set()),  # Second is missing
        ((*SENT, ROOT.certificate), SENT, {"root"}),
        (SENT[::-1], SENT, {"order"}),
        ((LEAF, FIRST.certificate, SECOND.certificate), SENT, {"order"}),
        ((LEAF, LEAF, *SENT[1:], FIRST.certificate), SENT, {"duplicates"}),
        ((ROOT.certificate, *SENT[::-1], LEAF), SENT, {"order", "duplicates", "root"}),
    ],
)
def test_build(given: tuple[x509.Certificate, ...], chain: tuple[x509.Certificate, ...], done: set[str]) -> None:
    built = build(given, [KEY])
    assert built.certificates == chain
    assert {("order" if "order" in words else words.split()[words.startswith("the")]) for words in built.mended} == done
    assert built.root == (ROOT.certificate if "root" in done else None)
    assert not built.self_signed


def test_any_order_and_strangers() -> None:
    dice = random.Random(4)
    for _ in range(20):
        given = [*SENT, ROOT.certificate, STRANGER]
        dice.shuffle(given)
        built = build(given, [KEY])
        assert built.certificates == SENT
        assert built.strangers == (STRANGER,)


def test_without_a_key_of_ours_the_leaf_is_who_has_issued_nothing() -> None:
    assert build(SENT[::-1], [ec_key()]).certificates == SENT


def test_of_two_certificates_of_the_key_the_newer_one_is_taken() -> None:
    renewed = Recipe(begins=NOW, ends=NOW + 180 * DAY).made(KEY, SECOND)
    built = build([*SENT, renewed], [KEY])
    assert built.leaf == renewed
    assert built.strangers == (LEAF,)


def test_issuers_of_the_same_name_are_told_apart_by_the_signature() -> None:
    impostor = authority("Second", FIRST)
    assert build([LEAF, impostor.certificate, SECOND.certificate], [KEY]).certificates[1] == SECOND.certificate
    assert build([LEAF, impostor.certificate], [KEY]).certificates == (LEAF,)


def test_a_root_that_another_one_has_signed_is_sent() -> None:
    """As Let's Encrypt does for clients that do not know its own root yet."""
    older = authority("Older")
    signed = authority("Root", older, ROOT.key)
    built = build([*SENT, ROOT.certificate, signed.certificate, older.certificate], [KEY])
    assert built.certificates == (*SENT, signed.certificate)
    assert built.root == older.certificate


def test_a_circle_ends() -> None:
    a, b = ec_key(), ec_key()
    first = authority("A", Issuer(authority("B", None, b).certificate, b), a)
    second = authority("B", first, b)
    leaf = Recipe().made(KEY, first)
    assert build([leaf, first.certificate, second.certificate], [KEY]).certificates == (
        leaf, first.certificate, second.certificate)  # fmt: skip


def test_self_signed() -> None:
    alone = Recipe().made(KEY)
    built = build([alone], [KEY])
    assert built.certificates == (alone,)
    assert built.self_signed
    assert not built.mended
