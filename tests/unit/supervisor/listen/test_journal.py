import logging

import pytest
from camfleet.core.log import Log
from camfleet.supervisor.listen import Journal

SECOND = 1_000_000_000


def test_one_line_a_second_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(Log("listen"))
    with caplog.at_level(logging.WARNING):
        for n in range(10):
            journal.note("timeout", "192.0.2.1:1", "no handshake", now_ns=n)
        journal.note("TLS handshake unknown_ca", "192.0.2.2:1", "the client refused", now_ns=5)
        journal.note("timeout", "192.0.2.3:1", "no handshake", now_ns=SECOND)
    fields = [record.__dict__ for record in caplog.records]
    assert [(it["reason"], it["peer"], it["suppressed"]) for it in fields] == [
        ("timeout", "192.0.2.1:1", 0),
        ("TLS handshake unknown_ca", "192.0.2.2:1", 0),
        ("timeout", "192.0.2.3:1", 9),
    ]
    assert journal.counts == {"timeout": 11, "TLS handshake unknown_ca": 1}
