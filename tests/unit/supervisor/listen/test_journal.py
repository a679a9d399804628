import logging

import pytest
from camfleet.core.log import Log, LogfmtFormatter
from camfleet.core.wire.control import Endpoint
from camfleet.supervisor.listen import Journal

SECOND = 1_000_000_000


def test_one_line_a_second_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(Log("listen"))
    with caplog.at_level(logging.WARNING):
        for n in range(10):
            journal.note("timeout", Endpoint("192.0.2.1", 1), "no handshake", now_ns=n)
        journal.note("TLS handshake unknown_ca", Endpoint("192.0.2.2", 1), "the client refused", now_ns=5)
        journal.note("timeout", Endpoint("192.0.2.3", 1), "no handshake", now_ns=SECOND)
    lines = [LogfmtFormatter().format(record).partition("event=")[2] for record in caplog.records]
    assert lines == [
        'turned_away peer=192.0.2.1:1 reason=timeout detail="no handshake" suppressed=0',
        'turned_away peer=192.0.2.2:1 reason="TLS handshake unknown_ca" detail="the client refused" suppressed=0',
        'turned_away peer=192.0.2.3:1 reason=timeout detail="no handshake" suppressed=9',
    ]
    assert journal.counts == {"timeout": 11, "TLS handshake unknown_ca": 1}
