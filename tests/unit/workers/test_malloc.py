"""In processes of their own: what is taken is taken for good."""

import subprocess
import sys

import pytest

# Every other one of many blocks is freed. Then some are made: how far from each other do they lie?
SCRIPT = """
import ctypes, sys
from camfleet.workers.malloc import fill_gaps
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype, libc.free.argtypes = [ctypes.c_size_t], ctypes.c_void_p, [ctypes.c_void_p]
{make}
many = [make() for _ in range(1000)]
{free_half}
if {fill}:
    fill_gaps()
some = [make() for _ in range(20)]
places = sorted(map(place, some))
print(places[-1] - places[0])
"""
KINDS = {
    "python": (
        "make = lambda: bytes(400 - 33)\nplace = id",
        "del many[::2]",
        400,
    ),
    "malloc": (
        "make = lambda: libc.malloc(3000)\nplace = int",
        "for block in many[::2]: libc.free(block)",
        3008,
    ),
}


def spread(kind: str, fill: bool) -> int:
    make, free_half, _ = KINDS[kind]
    script = SCRIPT.format(make=make, free_half=free_half, fill=fill)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_lies_side_by_side_when_the_gaps_are_filled(kind: str) -> None:
    size = KINDS[kind][2]
    assert spread(kind, fill=True) == 19 * size
    assert spread(kind, fill=False) > 30 * size
