import random
import struct

import pytest
from camfleet.core.rtp.reorder import MAX_HELD, MAX_WAIT_NS, ReorderBuffer


def packet(sequence: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 96, sequence % 65_536, 0, 0)


def order(sequences: list[int], buffer: ReorderBuffer | None = None) -> list[int]:
    buffer = buffer or ReorderBuffer()
    return [each[2] << 8 | each[3] for sequence in sequences for each in buffer.put(packet(sequence), 0)]


def test_in_order_nothing_is_held() -> None:
    buffer = ReorderBuffer()
    sequences = [n % 65_536 for n in range(65_000, 66_000)]
    assert order(sequences, buffer) == sequences
    assert buffer.due_ns is None


@pytest.mark.parametrize("start", [0, 32_760, 65_530])
def test_what_overtakes_waits(start: int) -> None:
    for seed in range(50):
        sequences = [start + n for n in range(200)]
        shuffled = sequences[:1]
        for at in range(1, 200, 8):
            block = sequences[at : at + 8]
            random.Random(seed + at).shuffle(block)
            shuffled += block
        assert order(shuffled) == [n % 65_536 for n in sequences]


def test_a_lost_one_is_waited_for_50_ms() -> None:
    buffer = ReorderBuffer()
    assert order([1, 3, 4], buffer) == [1]
    assert buffer.due_ns == MAX_WAIT_NS
    assert list(buffer.give_up(MAX_WAIT_NS - 1)) == []
    assert list(buffer.give_up(MAX_WAIT_NS)) == [packet(3), packet(4)]
    assert buffer.due_ns is None
    assert order([2], buffer) == [2]  # too late; who depacketizes knows
    assert order([5], buffer) == [5]


def test_not_more_than_64_are_held() -> None:
    sequences = [1, *range(3, 3 + MAX_HELD + 1)]
    assert order(sequences) == sequences


def test_one_who_begins_anew_is_followed() -> None:
    assert order([40_000, 40_001, 5, 6, 8, 7, 9]) == [40_000, 40_001, 5, 6, 7, 8, 9]


def test_what_is_too_short_is_dropped() -> None:
    assert list(ReorderBuffer().put(b"\x80" * 11, 0)) == []
