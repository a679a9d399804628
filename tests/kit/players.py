"""Real clients as child processes: each decodes for a number of frames and is then judged by what it said."""

import os
import re
import subprocess
from dataclasses import dataclass

START_TIMEOUT_S = 20


@dataclass
class Played:
    """How a player ended. `errors` is what it said of damaged media, a lost connection or a refused login."""

    frames: int
    errors: str
    ended_well: bool


class FFmpeg:
    """Decodes `frames` frames. libavformat's own errors and the decoder's come on standard error."""

    def __init__(self, url: str, frames: int) -> None:
        self._wanted = frames
        self._process = subprocess.Popen(
            ["ffmpeg", "-nostdin", "-hide_banner", "-v", "warning", "-rtsp_transport", "tcp", "-err_detect", "explode"]
            + ["-i", url, "-an", "-frames:v", str(frames), "-progress", "pipe:1", "-f", "null", "-"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self, timeout_s: float) -> Played:
        output, errors = _finish(self._process, timeout_s)
        counts = [int(count) for count in re.findall(r"^frame=\s*(\d+)", output, re.MULTILINE)]
        return Played(max(counts, default=0), errors, self._process.returncode == 0)


class GStreamer:
    """rtspsrc to avdec_h264; a frame that does not decode is an error of the element, or is missing in the count."""

    def __init__(self, url: str, frames: int, *, source_options: tuple[str, ...] = ("tls-validation-flags=0",)) -> None:
        self._process = subprocess.Popen(
            ["gst-launch-1.0", "rtspsrc", f"location={url}", "protocols=tcp", *source_options]
            + ["!", "rtph264depay", "!", "h264parse", "!", "avdec_h264"]
            + ["!", "identity", "name=decoded", "silent=false", "!", "fakesink", "sync=false", f"num-buffers={frames}"]
            + ["-v"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Warnings of the depayloader and the decoder are damaged media; others warn of clocks and latency.
            env={**os.environ, "GST_DEBUG": "rtph264depay:3,h264parse:3,libav:3,avdec_h264:3,*:1", "GST_DEBUG_NO_COLOR": "1"},
        )

    def wait(self, timeout_s: float) -> Played:
        output, errors = _finish(self._process, timeout_s)
        return Played(output.count("decoded: last-message = chain"), errors, self._process.returncode == 0)


def _finish(process: subprocess.Popen[str], timeout_s: float) -> tuple[str, str]:
    try:
        return process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        return output, errors + f"\nnot finished within {timeout_s} s"
