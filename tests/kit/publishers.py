"""Real clients that publish a film, again and again and in its own time, as child processes."""

from pathlib import Path
from typing import Self

from tests.kit.players import START_TIMEOUT_S, Client


class Publisher(Client):
    """It ends with the context at the latest."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.folder.cleanup()

    def kill(self) -> None:
        """As a machine that loses its power."""
        self.process.kill()
        self.process.wait()

    def refused(self) -> str:
        """What it says after it has ended by itself, in vain."""
        assert self.process.wait(START_TIMEOUT_S) != 0
        return self.said()


def ffmpeg(film: Path, *output: str, sound: bool = False) -> Publisher:
    """Sound stands before the picture."""
    first = ["-f", "lavfi", "-i", "sine"] if sound else []
    last = ["-map", "0:a", "-map", "1:v", "-c:a", "aac"] if sound else []
    source = [*first, "-re", "-stream_loop", "-1", "-i", str(film), "-c", "copy", *last]
    return Publisher(["ffmpeg", "-nostdin", "-hide_banner", "-v", "warning", *source, *output])


def gstreamer(film: Path, url: str, codec: str) -> Publisher:
    source = ["filesrc", f"location={film}", "!", "qtdemux", "!", f"{codec}parse"]
    sink = ["!", "rtspclientsink", f"location={url}", "protocols=tcp", "tls-validation-flags=0"]
    return Publisher(["gst-launch-1.0", "-q", *source, *sink])
