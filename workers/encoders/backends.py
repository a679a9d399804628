"""The encoders we know for each codec, and which of them a stream may use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from camfleet.core.wire import VideoSpec

from ..codecs import H264, H265, Codec
from .errors import EncoderError

AUTO = "auto"
Options = dict[str, str]


@dataclass(frozen=True, slots=True)
class Backend:
    """One encoder of FFmpeg, and what makes it a camera's: no delay, no B-frames, IDR pictures on demand."""

    codec: Codec
    name: str  # in settings
    ffmpeg: str
    device: str  # for people
    pixel_format: str
    options: Callable[[VideoSpec], Options]
    # What `profile` in settings is called here.
    profiles: Mapping[str, str]
    nodes: tuple[str, ...] = ()  # patterns of the device files it needs; empty: it runs on the CPU
    device_type: str = ""  # FFmpeg's, when the encoder only takes pictures that lie on the device
    missing: str = "this build of PyAV does not have it"

    @property
    def key(self) -> str:
        return f"{self.codec.name}/{self.name}"


# What the rate may do. Constant is the only kind that x264 can change while it runs. With half a second of buffer an
# IDR picture may be fifteen times the average one at 30 fps, and a line of just this rate is never further behind.
# Variable may be twice the rate for a second, where the pictures ask for it.
def rate_control(video: VideoSpec) -> Options:
    """FFmpeg's options for all encoders; those that want to be told the mode itself are told it below."""
    if video.rate_control == "vbr":
        return {"maxrate": str(2 * video.bitrate_bps), "bufsize": str(2 * video.bitrate_bps)}
    return {"maxrate": str(video.bitrate_bps), "bufsize": str(video.bitrate_bps // 2)}


# Cameras of 30 fps per core, 720p and 1080p: ultrafast 15.1 and 6.8, superfast 7.7 and 3.5, veryfast 5.4 and 2.4.
# superfast: ultrafast's key frames are 1.6 times as large (no CABAC), and those go to every reader at once; veryfast is
# 0.4 dB better for 1.3 times the work. Settings may ask for another one. repeat-headers puts SPS and PPS before each
# IDR picture although the global header, which has them ready for the SDP before the first one, would keep them out.
def _x264(video: VideoSpec) -> Options:
    return {
        "preset": video.preset or "superfast",
        "tune": "zerolatency",
        "sc_threshold": "0",
        "x264-params": "repeat-headers=1",
    }


# ultrafast: 1.5 cameras of 720p on a core. Its own pool of threads would be one for each core, and more than one frame
# at a time a delay. By itself it writes to stderr.
def _x265(video: VideoSpec) -> Options:
    settings = {
        "repeat-headers": "1",
        "open-gop": "0",
        "scenecut": "0",
        "frame-threads": "1",
        "pools": "none" if video.threads == 1 else str(video.threads),
        "info": "0",
        "log-level": "none",
    }
    parameters = ":".join(f"{name}={value}" for name, value in settings.items())
    return {
        "preset": video.preset or "ultrafast",
        "tune": "zerolatency",
        "forced-idr": "1",
        "x265-params": parameters,
    }


def _nvenc(video: VideoSpec) -> Options:
    return {
        "preset": "p3",
        "tune": "ull",
        "rc": video.rate_control,
        "zerolatency": "1",
        "delay": "0",  # the default is INT_MAX
        "rc-lookahead": "0",
        "forced-idr": "1",
    }


# The mode of the rate follows from maxrate.
def _h264_qsv(_: VideoSpec) -> Options:
    return {"async_depth": "1", "look_ahead": "0", "low_delay_brc": "1", "forced_idr": "1"}


def _hevc_qsv(_: VideoSpec) -> Options:
    return {"async_depth": "1", "low_delay_brc": "1", "forced_idr": "1", "gpb": "0"}


def _vaapi(video: VideoSpec) -> Options:
    return {"async_depth": "1", "rc_mode": video.rate_control.upper()}


def _amf(video: VideoSpec) -> Options:
    return {
        "usage": "ultralowlatency",
        "rc": "vbr_peak" if video.rate_control == "vbr" else "cbr",
        "latency": "1",
        "async_depth": "1",
        "forced_idr": "1",
    }


_H264_PROFILES = {name: name for name in ("baseline", "main", "high")}
_CONSTRAINED = {"baseline": "constrained_baseline", "main": "main", "high": "high"}
_H265_PROFILES = {"main": "main"}
_NVIDIA, _RENDER = ("/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/dxg"), ("/dev/dri/renderD*", "/dev/dxg")
_NO_VAAPI = "this build of PyAV lacks VAAPI; docs/hardware.md tells how to build one that has it"
_GPU = "Intel or AMD GPU (VAAPI)"

# In the order in which `auto` tries them. NVENC takes pictures from system memory: the upload then happens inside the
# encoder, without the GIL.
BACKENDS = (
    Backend(H264, "nvenc", "h264_nvenc", "NVIDIA GPU", "yuv420p", _nvenc, _H264_PROFILES, _NVIDIA),
    Backend(H264, "qsv", "h264_qsv", "Intel GPU (Quick Sync)", "nv12", _h264_qsv, _H264_PROFILES, _RENDER),
    Backend(H264, "vaapi", "h264_vaapi", _GPU, "nv12", _vaapi, _CONSTRAINED, _RENDER, "vaapi", _NO_VAAPI),
    Backend(H264, "amf", "h264_amf", "AMD GPU (AMF)", "nv12", _amf, _CONSTRAINED, _RENDER),
    Backend(H264, "x264", "libx264", "CPU", "yuv420p", _x264, _H264_PROFILES),
    Backend(H265, "nvenc", "hevc_nvenc", "NVIDIA GPU", "yuv420p", _nvenc, _H265_PROFILES, _NVIDIA),
    Backend(H265, "qsv", "hevc_qsv", "Intel GPU (Quick Sync)", "nv12", _hevc_qsv, _H265_PROFILES, _RENDER),
    Backend(H265, "vaapi", "hevc_vaapi", _GPU, "nv12", _vaapi, _H265_PROFILES, _RENDER, "vaapi", _NO_VAAPI),
    Backend(H265, "amf", "hevc_amf", "AMD GPU (AMF)", "nv12", _amf, _H265_PROFILES, _RENDER),
    Backend(H265, "x265", "libx265", "CPU", "yuv420p", _x265, _H265_PROFILES),
)
SOFTWARE = MappingProxyType({backend.codec.name: backend for backend in BACKENDS if not backend.nodes})


def choose(codec: str, wanted: str) -> tuple[Backend, ...]:
    """The backends to try, best first; the first that opens is taken. Raises EncoderError."""
    offered = [backend for backend in BACKENDS if backend.codec.name == codec]
    if not offered:
        raise EncoderError(f"unknown codec {codec!r}; there are {', '.join(SOFTWARE)}")
    found = tuple(backend for backend in offered if wanted in (AUTO, backend.name))
    if not found:
        names = ", ".join(backend.name for backend in offered)
        raise EncoderError(f"no encoder {wanted!r} for {codec}; there are {AUTO}, {names}")
    return found
