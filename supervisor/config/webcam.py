"""`source = { kind = "webcam" }`: a camera of this machine."""

from pathlib import Path
from typing import Annotated, Literal

from camfleet.core import wire
from msgspec import Meta

from .sources import Source
from .values import Size


class Webcam(Source, tag="webcam", frozen=True, kw_only=True):
    """A camera that is plugged into this machine (Video4Linux). See [sources](sources.md#webcam)."""

    device: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,256}\Z",
            description='Which: a path, as in "/dev/video0" or one of "/dev/v4l/by-id/", or a part of the name, as in '
            '"C920"; upper and lower case matter. `cat /sys/class/video4linux/*/name` says how they are called.',
            extra={"allowed": "a path or 1 to 256 characters of a name"},
        ),
    ]
    size: (
        Annotated[
            Size,
            Meta(
                description="What the camera is asked for; the stream's own size is that of `video`. Absent: the "
                "largest that it offers up to 1280x720.",
                extra={"allowed": 'a size, as in "1280x720"'},
            ),
        ]
        | None
    ) = None
    fps: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=240,
                description="Pictures a second that the camera is asked for; it takes the nearest that it can. Absent: "
                "as it is set.",
            ),
        ]
        | None
    ) = None
    format: (
        Annotated[
            Literal["mjpeg", "h264", "yuyv422", "uyvy422", "nv12", "yuv420p", "rgb24", "bgr24", "gray"],
            Meta(description="How pictures come from the camera. Absent: MJPEG, if the camera has it in this size."),
        ]
        | None
    ) = None

    def spec(self, _folder: Path) -> wire.Source:
        width, height = self.size or (0, 0)
        return wire.Webcam(device=self.device, width=width, height=height, fps=self.fps or 0, format=self.format or "")
