"""What workers/session keeps of a reader."""

import gc
import tracemalloc

from tests.kit.live_camera import Camera


def test_what_is_kept_of_a_reader_that_plays() -> None:
    """The fake engine's 200 bytes among it; tests/process/test_memory.py measures both processes."""
    camera = Camera()

    def come(first: int, count: int) -> None:
        for handoff in range(first, first + count):
            camera.client(handoff=2**62 + handoff, tls=None).play()
        camera.news.clear()

    come(0, 20)
    tracemalloc.start()
    try:
        come(20, 300)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 300 < 1600
