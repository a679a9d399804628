"""Packetizing: a 17 kB access unit (720p30 at 4 Mb/s) and a 200 kB key frame.

Run: pytest bench/micro/test_rtp.py. Packets, ns per packet and GB/s of access unit: extra_info of --benchmark-json.
"""

import random

import pytest
from camfleet.core.rtp import rtcp
from camfleet.core.rtp.packetizer import Packetizer
from pytest_benchmark.fixture import BenchmarkFixture

SIZES = [pytest.param(17_000, id="17kB"), pytest.param(200_000, id="200kB")]


def access_unit(size: int) -> bytes:
    """SPS, PPS and one IDR slice of random octets, as entropy-coded data looks: a 01 in 256, no start code."""
    noise = random.Random(size).randbytes(size).replace(b"\0\0", b"\0\x80")
    return b"\0\0\0\1\x67\x42\xc0\x1f\xda\0\0\0\1\x68\xce\x3c\x80\0\0\1\x65" + noise + b"\x80"


def note(benchmark: BenchmarkFixture, data: bytes) -> None:
    if benchmark.stats is None:  # --benchmark-disable
        return
    median = benchmark.stats.stats.median
    packets = Packetizer().measure(data).packets
    benchmark.extra_info.update(
        packets=packets, ns_per_packet=round(median * 1e9 / packets, 1), GB_per_s=round(len(data) / median / 1e9, 2)
    )


@pytest.mark.parametrize("size", SIZES)
def test_measure(benchmark: BenchmarkFixture, size: int) -> None:
    data = access_unit(size)
    benchmark(Packetizer().measure, data)
    note(benchmark, data)


@pytest.mark.parametrize("size", SIZES)
def test_write(benchmark: BenchmarkFixture, size: int) -> None:
    """Into a new bytes object of known size: its allocation is in the figure."""
    data = access_unit(size)
    benchmark(Packetizer().packetize, data, 0, Packetizer().measure(data).size)
    note(benchmark, data)


def test_sender_report(benchmark: BenchmarkFixture) -> None:
    benchmark(rtcp.sender_report, ssrc=1, channel=1, cname=b"camfleet", ntp=0, rtp_timestamp=0, packets=0, octets=0)
