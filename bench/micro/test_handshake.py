"""A full handshake as the supervisor sees it: ECDSA P-256, both sides in memory, and only the server's part measured.

Run: pytest bench/micro/test_handshake.py. Handshakes per CPU second: extra_info of --benchmark-json.
"""

import time
from pathlib import Path

import pytest
from camfleet.supervisor.tls import Driver, export
from OpenSSL import SSL
from pytest_benchmark.fixture import BenchmarkFixture

from tests.kit.tls_client import BundledClient, Client, SystemClient, always, read_context, split_records, write_pair

CLIENTS = [
    pytest.param(BundledClient, id="1.3-X25519MLKEM768"),
    pytest.param(SystemClient, id="1.3-X25519"),
    pytest.param(lambda: BundledClient(version=SSL.TLS1_2_VERSION), id="1.2-X25519"),
]


@pytest.mark.parametrize("client", CLIENTS)
def test_handshake(benchmark: BenchmarkFixture, tmp_path: Path, client: type[Client]) -> None:
    choose = always(read_context(*write_pair(tmp_path)))
    spent_ns: list[int] = []

    def handshake() -> None:
        """The client's work lies between the server's steps, so the server's are added up by hand."""
        peer = client()
        done = False
        spent = 0
        start = time.process_time_ns()
        driver = Driver(choose)
        spent += time.process_time_ns() - start
        while not driver.complete:
            done = done or peer.handshake()
            records = split_records(peer.output())
            start = time.process_time_ns()
            for record in records:
                driver.receive_record(record)
            answer = driver.data_to_send()
            spent += time.process_time_ns() - start
            peer.feed(answer)
        start = time.process_time_ns()
        export(driver, start)
        spent_ns.append(spent + time.process_time_ns() - start)

    benchmark(handshake)
    spent_ns.sort()
    median = spent_ns[len(spent_ns) // 2]
    benchmark.extra_info["server_us"] = round(median / 1000)
    benchmark.extra_info["server_handshakes_per_cpu_s"] = round(1e9 / median)
