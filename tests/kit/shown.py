"""What is to be seen of a source: in a stream's pictures as its pipeline asks for them, and as FFmpeg plays them."""

import contextlib
import subprocess
import tempfile
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from camfleet.core.wire import Source, VideoSpec
from camfleet.workers.sources import Place, SourceError, open_pictures
from camfleet.workers.sources.shared import SharedPictures
from numpy.typing import NDArray

from tests.kit.wait import wait_for
from tests.kit.x11 import HEIGHT, NEAR, WIDTH, is_near

PLACE = Place("ipc1-stream1", "Lobby", unix_offset_ns=0, wake=lambda: None)
TIMEOUT_S = 10.0


class Seen:
    """A picture that changes."""

    @abstractmethod
    def samples(self) -> NDArray[np.uint8] | None:
        """Of the picture now, as VideoFrame.to_ndarray gives them; None when there is none."""

    @abstractmethod
    def why(self) -> str:
        """Nothing is seen."""

    def colour(self, x: int, y: int) -> tuple[int, ...] | None:
        """Luma, Cb and Cr at a point; None when there is no picture."""
        samples = self.samples()
        if samples is None:
            return None
        height = samples.shape[0] * 2 // 3
        chroma = samples[height:].reshape(2, height // 2, -1)
        return int(samples[y, x]), *(int(plane[y // 2, x // 2]) for plane in chroma)

    def wait(
        self, colours: dict[tuple[int, int], int], meanwhile: Callable[[], object] = lambda: None, by: int = NEAR
    ) -> None:
        """Until these RGB colours are at these points, to `by` levels."""
        seen: dict[tuple[int, int], tuple[int, ...] | None] = {}

        def are_there() -> bool:
            meanwhile()
            seen.update({point: self.colour(*point) for point in colours})
            return all(is_near(found, colours[point], by) for point, found in seen.items())

        wait_for(are_there, TIMEOUT_S, lambda: f"{seen} {self.why()}")


class Shown(Seen):
    """A stream's pictures of a source."""

    def __init__(self, source: Source, width: int = WIDTH, height: int = HEIGHT) -> None:
        pictures = open_pictures(source, PLACE, VideoSpec(width=width, height=height, fps=50), time.monotonic_ns())
        assert isinstance(pictures, SharedPictures)
        self.pictures = pictures

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pictures.close()

    def samples(self) -> NDArray[np.uint8] | None:
        frame = self.pictures.picture(0, time.monotonic_ns())
        return None if frame is None else np.asarray(frame.to_ndarray(), np.uint8)

    def why(self) -> str:
        return self.pictures.absence

    def wait_for_absence(self, text: str) -> None:
        def is_absent() -> bool:
            return self.samples() is None and text in self.pictures.absence

        wait_for(is_absent, TIMEOUT_S, lambda: f"not absent for {text!r} but {self.pictures.absence!r}")

    def fails(self) -> str:
        """The reason, within its time."""
        reason = ""

        def failed() -> bool:
            nonlocal reason
            try:
                self.samples()
            except SourceError as error:
                reason = str(error)
            return bool(reason)

        wait_for(failed, TIMEOUT_S)
        return reason


class Played(Seen):
    """The newest picture that FFmpeg has decoded of a URL."""

    def __init__(self, url: str, width: int, height: int, *, from_first: bool = False) -> None:
        """`from_first`: nothing of what FFmpeg looks at to know the stream is thrown away. The next key frame may be
        far."""
        self.frames = 0
        self._shape = height * 3 // 2, width
        self._newest: NDArray[np.uint8] | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._said = Path(self._folder.name) / "said"
        flags = [] if from_first else ["-fflags", "nobuffer"]
        source = ["-rtsp_transport", "tcp", *flags, "-err_detect", "explode", "-i", url]
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                ["ffmpeg", "-nostdin", "-v", "error", *source, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
            )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._folder.cleanup()

    def samples(self) -> NDArray[np.uint8] | None:
        return self._newest

    def errors(self) -> str:
        """FFmpeg's, so far: of the connection, and of pictures that do not decode."""
        return self._said.read_text()

    def why(self) -> str:
        return f"after {self.frames} frames, FFmpeg's code {self._process.poll()}: {self.errors()}"

    def _read(self) -> None:
        pipe: Any = self._process.stdout
        with contextlib.closing(pipe):
            while len(data := pipe.read(self._shape[0] * self._shape[1])) == self._shape[0] * self._shape[1]:
                self._newest = np.frombuffer(data, np.uint8).reshape(self._shape)
                self.frames += 1
