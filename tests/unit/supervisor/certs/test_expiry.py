"""Warnings at 30, 14, 7 and 1 days and at the end, each once."""

import msgspec
import pytest
from camfleet.supervisor.certs.expiry import Expiry, days_left, is_over, warning
from camfleet.supervisor.examine import Description

END_S = 2_000_000_000
DAY_S = 86_400
CERTIFICATE = Description(
    subject="CN=x",
    issuer="CN=x",
    names=(),
    not_before_unix_s=0,
    not_after_unix_s=END_S,
    fingerprint="ab" * 32,
    key="ECDSA P-256",
    key_fingerprint="cd" * 32,
    chain_length=1,
    self_signed=True,
)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    found = [(record.getMessage(), vars(record)["fields"].get("days_left")) for record in caplog.records]
    caplog.clear()
    return found


def test_a_whole_life(caplog: pytest.LogCaptureFixture) -> None:
    expiry = Expiry()
    lines = []
    for hours in range(40 * 24, -48, -1):
        expiry.look([("global", CERTIFICATE)], END_S - hours * 3600)
        lines += said(caplog)
    assert lines == [
        ("certificate_expires", 30),
        ("certificate_expires", 14),
        ("certificate_expires", 7),
        ("certificate_expires", 1),
        ("certificate_expired", None),
    ]


@pytest.mark.parametrize(
    ("days", "event"),
    [
        (31, []),
        (20, [("certificate_expires", 20)]),
        (0.5, [("certificate_expires", 0)]),
        (0, [("certificate_expired", None)]),
        (-100, [("certificate_expired", None)]),
    ],
)
def test_the_start_says_what_is_due_and_says_it_once(
    caplog: pytest.LogCaptureFixture, days: float, event: list[object]
) -> None:
    expiry = Expiry()
    for _ in range(3):
        expiry.look([("global", CERTIFICATE)], END_S - days * DAY_S)
    assert said(caplog) == event


def test_each_certificate_and_identity_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    expiry, other = Expiry(), msgspec.structs.replace(CERTIFICATE, fingerprint="ef" * 32)
    now_s = END_S - 10 * DAY_S
    expiry.look([("global", CERTIFICATE)], now_s)
    assert len(said(caplog)) == 1
    expiry.look([("global", CERTIFICATE), ("ipc1", CERTIFICATE)], now_s)
    assert len(said(caplog)) == 1
    expiry.look([("global", other)], now_s)
    assert len(said(caplog)) == 1
    expiry.look([("global", CERTIFICATE)], now_s)  # after a rollback it is news again
    assert len(said(caplog)) == 1


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (30 * DAY_S + 1, ""),
        (30 * DAY_S, "ends in 30 days"),
        (2 * DAY_S - 1, "ends in 1 day"),
        (DAY_S - 1, "ends within a day"),
        (0, ""),
    ],
)
def test_the_warning_in_the_status(left_s: int, words: str) -> None:
    assert warning(CERTIFICATE, END_S - left_s) == words


@pytest.mark.parametrize(
    ("left_s", "days", "over"), [(DAY_S, 1, False), (DAY_S - 1, 0, False), (1, 0, False), (0, 0, True), (-1, -1, True)]
)
def test_days_left(left_s: int, days: int, over: bool) -> None:
    assert days_left(CERTIFICATE, END_S - left_s) == days
    assert is_over(CERTIFICATE, END_S - left_s) is over
