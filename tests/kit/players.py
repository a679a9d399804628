"""Real clients as child processes: each decodes for a number of frames and is then judged by what it said."""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

START_TIMEOUT_S = 20


@dataclass
class Played:
    """How a player ended. `errors` is what it said of damaged media, a lost connection or a refused login."""

    frames: int
    errors: str
    ended_well: bool


class Client:
    """A child process whose output goes to a file: nobody reads while it plays, and a full pipe would stop it."""

    def __init__(self, command: list[str], environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self._output = Path(self.folder.name) / "output"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
            )

    def said(self) -> str:
        return self._output.read_text()


class Player(Client):
    def judge(self, output: str) -> Played:
        """From all that it said, in order."""
        raise NotImplementedError

    def wait(self, timeout_s: float) -> Played:
        """Ends the process when it takes longer."""
        late = ""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            late = f"ERROR: not finished within {timeout_s} s"
            self.process.kill()
            self.process.wait()
        with self.folder:
            return self.judge(self.said() + late)


class FFmpeg(Player):
    """libavformat's own errors and the decoder's stand between the lines of -progress, which are `key=value`."""

    def __init__(self, url: str, frames: int) -> None:
        source = ["-rtsp_transport", "tcp", "-err_detect", "explode", "-i", url]
        # In the stream's ticks: FFmpeg's own are those of a frame rate that it guesses, and the stream's may change.
        sink = ["-an", "-frames:v", str(frames), "-enc_time_base", "-1", "-progress", "pipe:1", "-f", "null", "-"]
        super().__init__(["ffmpeg", "-nostdin", "-hide_banner", "-v", "warning", *source, *sink])

    def judge(self, output: str) -> Played:
        frames = max((int(count) for count in re.findall(r"^frame=\s*(\d+)", output, re.MULTILINE)), default=0)
        errors = [line for line in output.splitlines() if not re.match(r"\w+=", line)]
        return Played(frames, "\n".join(errors), self.process.returncode == 0)


class GStreamer(Player):
    """rtspsrc to avdec_h264 or _h265; a frame that does not decode is an element's error, or is missing in the count.

    It has played well when it has all its frames: what gst-launch says after its end of stream is about tearing down,
    where rtspsrc now and then cancels its own PAUSE before it is sent, and calls that an error (decision 22).
    """

    def __init__(self, url: str, frames: int, codec: str = "h264") -> None:
        source = ["rtspsrc", f"location={url}", "protocols=tcp", "tls-validation-flags=0"]
        elements = [f"rtp{codec}depay", f"{codec}parse", f"avdec_{codec}"]
        decoder = [word for element in elements for word in ("!", element)]
        sink = ["!", "identity", "name=decoded", "silent=false", "!", "fakesink", "sync=false", f"num-buffers={frames}"]
        # Warnings of the depayloader and the decoder are damaged media; others warn of clocks and latency.
        levels = [f"{element}:3" for element in (*elements, "libav")]
        debug = {"GST_DEBUG": ",".join([*levels, "*:1"]), "GST_DEBUG_NO_COLOR": "1"}
        super().__init__(["gst-launch-1.0", "-v", *source, *decoder, *sink], debug)

    def judge(self, output: str) -> Played:
        playing, end, _ = output.partition("Got EOS from element")
        errors = [line for line in playing.splitlines() if re.search(r"\b(ERROR|WARN|WARNING)\b", line)]
        return Played(playing.count("decoded: last-message = chain"), "\n".join(errors), bool(end))
