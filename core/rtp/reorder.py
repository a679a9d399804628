"""Datagrams in the order of their sequence numbers (RFC 3550 5.1), before they are depacketized."""

from collections.abc import Iterator

NS_PER_MS = 1_000_000
# What is overtaken on its way is so by a few packets; who waits longer delays the picture for one that is lost.
MAX_HELD = 64
MAX_WAIT_NS = 50 * NS_PER_MS
_HEADER_SIZE = 12


class ReorderBuffer:
    """In the normal case nothing is held. Repetitions and strangers go through: the depacketizer knows them."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._restart: int | None = None  # the number behind one from long ago: two such are a sender who began anew
        self._held: dict[int, tuple[bytes, int]] = {}  # by sequence number: the packet, when it came

    @property
    def due_ns(self) -> int | None:
        """When to call `give_up` unless packets come before."""
        if not self._held:
            return None
        return min(came_ns for _, came_ns in self._held.values()) + MAX_WAIT_NS

    def put(self, packet: bytes, now_ns: int) -> Iterator[bytes]:
        """What can be taken now."""
        if len(packet) < _HEADER_SIZE:
            return
        sequence = packet[2] << 8 | packet[3]
        ahead = 0 if self._next is None else sequence - self._next & 0xFFFF
        if 0 < ahead < MAX_HELD:
            self._held[sequence] = packet, now_ns
            return
        if ahead < 0x8000 or sequence == self._restart:
            yield from self._flush(ahead)
            self._next = sequence + 1 & 0xFFFF
        self._restart = None if ahead < 0x8000 else sequence + 1 & 0xFFFF
        yield packet
        yield from self._in_order()

    def give_up(self, now_ns: int) -> Iterator[bytes]:
        """Waits no more for what should have come before the oldest that is held."""
        due_ns = self.due_ns
        if due_ns is not None and now_ns >= due_ns and self._next is not None:
            first = min(self._held, key=lambda sequence: sequence - (self._next or 0) & 0xFFFF)
            self._next = first
            yield from self._in_order()

    def _in_order(self) -> Iterator[bytes]:
        while self._held and self._next in self._held:
            packet, _ = self._held.pop(self._next)
            self._next = self._next + 1 & 0xFFFF
            yield packet

    def _flush(self, ahead: int) -> Iterator[bytes]:
        """What is held when a packet comes that is far ahead of it."""
        if ahead:
            base = self._next or 0
            for sequence in sorted(self._held, key=lambda held: held - base & 0xFFFF):
                yield self._held.pop(sequence)[0]
