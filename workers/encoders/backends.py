"""The H.264 encoders we know, and which of them a stream may use."""

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import EncoderError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Backend:
    """One encoder of FFmpeg with the options that make it a camera's: no delay, no B-frames, IDR pictures on demand."""

    name: str
    device: str
    pixel_format: str
    options: Mapping[str, str]
    hardware: str = ""  # FFmpeg's device type, when the encoder only takes pictures that lie on the device
    missing: str = "this build of PyAV does not have it"


BACKENDS = (
    Backend(
        "h264_nvenc",
        "NVIDIA GPU",
        "yuv420p",  # from system memory: the upload then happens inside the encoder, without the GIL
        {
            "preset": "p3",
            "tune": "ull",
            "rc": "cbr",
            "zerolatency": "1",
            "delay": "0",  # the default is INT_MAX
            "rc-lookahead": "0",
            "forced-idr": "1",
        },
    ),
    Backend(
        "h264_qsv",
        "Intel GPU (Quick Sync)",
        "nv12",
        {"async_depth": "1", "look_ahead": "0", "low_delay_brc": "1", "forced_idr": "1"},
    ),
    Backend(
        "h264_vaapi",
        "Intel or AMD GPU (VAAPI)",
        "nv12",
        {"async_depth": "1", "rc_mode": "CBR"},
        hardware="vaapi",
        missing="this build of PyAV lacks VAAPI; install av from source against an FFmpeg with libva",
    ),
    # Cameras of 30 fps per core, 720p and 1080p: ultrafast 15.1 and 6.8, superfast 7.7 and 3.5, veryfast 5.4 and 2.4.
    # superfast: ultrafast's key frames are 1.6 times as large (no CABAC), and those go to every reader at once;
    # veryfast is 0.4 dB better for 1.3 times the work. repeat-headers puts SPS and PPS before each IDR picture although
    # the global header, which has them ready for the SDP before the first picture, would keep them out.
    Backend(
        "libx264",
        "CPU",
        "yuv420p",
        {"preset": "superfast", "tune": "zerolatency", "sc_threshold": "0", "x264-params": "repeat-headers=1"},
    ),
)


def choose(wanted: str) -> tuple[Backend, ...]:
    """The backends to try, best first; the first that opens is taken. Raises EncoderError."""
    found = BACKENDS if wanted == AUTO else tuple(backend for backend in BACKENDS if backend.name == wanted)
    if not found:
        raise EncoderError(f"unknown encoder {wanted!r}; there are {AUTO}, {', '.join(b.name for b in BACKENDS)}")
    return found
