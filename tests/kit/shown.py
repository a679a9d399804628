"""A stream's pictures of a source, as its pipeline would ask for them, and what is to be seen in them."""

import time
from collections.abc import Callable
from typing import Self

import numpy as np
from camfleet.core.wire import ScreenLive, VideoSpec, WindowLive
from camfleet.workers.sources import Place, SourceError, open_pictures
from camfleet.workers.sources.shared import SharedPictures

from tests.kit.wait import wait_for
from tests.kit.x11 import HEIGHT, NEAR, WIDTH, is_near

PLACE = Place("ipc1-stream1", "Lobby", unix_offset_ns=0, wake=lambda: None)
TIMEOUT_S = 10.0


class Shown:
    """A stream's picture of a source."""

    def __init__(
        self, source: ScreenLive | WindowLive, width: int = WIDTH, height: int = HEIGHT, fps: int = 50
    ) -> None:
        video = VideoSpec(width=width, height=height, fps=fps)
        pictures = open_pictures(source, PLACE, video, time.monotonic_ns())
        assert isinstance(pictures, SharedPictures)
        self.pictures = pictures
        self._height = height

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pictures.close()

    def colour(self, x: int, y: int) -> tuple[int, ...] | None:
        """Luma, Cb and Cr at a point of the stream's picture; None when there is no picture."""
        frame = self.pictures.picture(0, time.monotonic_ns())
        if frame is None:
            return None
        samples = np.asarray(frame.to_ndarray(), np.uint8)
        chroma = samples[self._height :].reshape(2, self._height // 2, -1)
        return int(samples[y, x]), *(int(plane[y // 2, x // 2]) for plane in chroma)

    def wait(
        self,
        colours: dict[tuple[int, int], int],
        meanwhile: Callable[[], object] = lambda: None,
        by: int = NEAR,
    ) -> None:
        """Until these RGB colours are at these points, to `by` levels."""
        seen: dict[tuple[int, int], tuple[int, ...] | None] = {}

        def are_there() -> bool:
            meanwhile()
            seen.update({point: self.colour(*point) for point in colours})
            return all(is_near(found, colours[point], by) for point, found in seen.items())

        wait_for(are_there, TIMEOUT_S, lambda: f"{seen} {self.pictures.absence}")

    def wait_for_absence(self, text: str) -> None:
        wait_for(
            lambda: self.colour(0, 0) is None and text in self.pictures.absence, 10.0, lambda: self.pictures.absence
        )

    def fails(self) -> str:
        """The reason, within its time."""
        reason = ""

        def failed() -> bool:
            nonlocal reason
            try:
                self.colour(0, 0)
            except SourceError as error:
                reason = str(error)
            return bool(reason)

        wait_for(failed, TIMEOUT_S)
        return reason
