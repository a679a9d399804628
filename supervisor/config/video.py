"""[cameras.streams.video]: the encoder's settings, and what the worker gets of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from camfleet.core import wire
from camfleet.core.bitrate import Bitrate
from msgspec import Meta

from .section import Check, Complaint, Section

AUTO: Final = "auto"
# What each codec may be encoded with, by the names here and by FFmpeg's; workers/encoders/backends.py has the encoders
# themselves, and a test compares the two.
ENCODERS = {
    "h264": {
        "nvenc": "h264_nvenc",
        "qsv": "h264_qsv",
        "vaapi": "h264_vaapi",
        "amf": "h264_amf",
        "x264": "libx264",
    },
    "h265": {
        "nvenc": "hevc_nvenc",
        "qsv": "hevc_qsv",
        "vaapi": "hevc_vaapi",
        "amf": "hevc_amf",
        "x265": "libx265",
    },
}
Encoder = Literal[
    "auto", "nvenc", "qsv", "vaapi", "amf", "x264", "x265",
    "h264_nvenc", "h264_qsv", "h264_vaapi", "h264_amf", "libx264",
    "hevc_nvenc", "hevc_qsv", "hevc_vaapi", "hevc_amf", "libx265",
]  # fmt: skip
PROFILES = {"h264": ("baseline", "main", "high"), "h265": ("main",)}


def _encoder(_: Path, codec: str, encoder: str) -> Iterator[Complaint]:
    names = ENCODERS[codec]
    if encoder not in (AUTO, *names, *names.values()):
        yield Complaint("encoder", f'"{encoder}" makes no {codec}', f'"{AUTO}" or one of {_quoted(names)}')


def _profile(_: Path, codec: str, profile: str) -> Iterator[Complaint]:
    if profile and profile not in PROFILES[codec]:
        yield Complaint("profile", f'{codec} has no profile "{profile}"', f"one of {_quoted(PROFILES[codec])}, or none")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


class Video(Section, frozen=True, kw_only=True):
    """The encoder. `filelive` without it passes H.264 and H.265 through. Files of other shapes get black bars."""

    codec: Annotated[
        Literal["h264", "h265"],
        Meta(description="Video codec. On the CPU, H.265 costs five times what H.264 does."),
    ] = "h264"
    width: Annotated[int, Meta(ge=64, le=4096, multiple_of=2, description="Picture width.")] = 1280
    height: Annotated[int, Meta(ge=64, le=4096, multiple_of=2, description="Picture height.")] = 720
    fps: Annotated[int, Meta(ge=1, le=120, description="Frames per second.")] = 30
    bitrate: Annotated[
        Bitrate,
        Meta(
            description="Bits per second that the encoder aims at.",
            extra={"allowed": 'bits per second from "16k" to "100M", as in 2000000, "2000k" or "2M"'},
        ),
    ] = Bitrate(2_000_000)
    rate_control: Annotated[
        Literal["cbr", "vbr"],
        Meta(
            description="`cbr`: a line of just this rate is never more than half a second behind. `vbr`: the mean of a "
            "longer time; up to twice the rate for a second where the pictures ask for it."
        ),
    ] = "cbr"
    gop: Annotated[int, Meta(ge=1, le=3600, description="Frames from one key frame to the next.")] = 60
    profile: Annotated[
        Literal["", "baseline", "main", "high"],
        Meta(
            description="What decoders must be able to do; H.265 has `main` only. Absent: the encoder's best.",
            extra={"allowed": '"baseline", "main" or "high"'},
        ),
    ] = ""
    encoder: Annotated[
        Encoder,
        Meta(
            description="`auto`: a graphics card's when one works, else the CPU's. Another one that cannot be had is "
            "an error of `camfleet check`, of a reload and of the stream; one that fails later is replaced by the "
            "CPU's. `camfleet encoders` tries them all.",
            extra={
                "allowed": '"auto", "nvenc", "qsv", "vaapi", "amf", "x264" (H.264), "x265" (H.265), or FFmpeg\'s name '
                'of one of them, as "h264_nvenc"'
            },
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Meta(ge=1, le=64, description="Threads of an encoder on the CPU. More cameras are a better use of more cores."),
    ] = 1
    preset: Annotated[
        Literal["", "ultrafast", "superfast", "veryfast", "faster", "fast", "medium"],
        Meta(
            description="How much an encoder on the CPU does for the picture, in the words of x264 and x265. With x264 "
            "`ultrafast` costs half of what `superfast` does, with key frames 1.6 times as large; `veryfast` is 0.4 dB "
            "better for 1.3 times the work. Absent: `superfast` of x264, `ultrafast` of x265.",
            extra={"allowed": '"ultrafast", "superfast", "veryfast", "faster", "fast" or "medium"'},
        ),
    ] = ""

    checks: ClassVar = (Check(("codec", "encoder"), _encoder), Check(("codec", "profile"), _profile))

    def spec(self) -> wire.VideoSpec:
        """For the worker."""
        ours = {ffmpeg: name for name, ffmpeg in ENCODERS[self.codec].items()}
        return wire.VideoSpec(
            codec=self.codec,
            width=self.width,
            height=self.height,
            fps=self.fps,
            bitrate_bps=int(self.bitrate),
            gop=self.gop,
            encoder=ours.get(self.encoder, self.encoder),
            rate_control=self.rate_control,
            profile=self.profile,
            threads=self.threads,
            preset=self.preset,
        )
