"""What a worker must know of its camera, in units; the configuration file's words stop at supervisor/config."""

import msgspec

from .overlay import OverlaySpec
from .source import Source


class VideoSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One encoder's settings."""

    codec: str = "h264"
    width: int = 1280
    height: int = 720
    fps: int = 30
    bitrate_bps: int = 2_000_000
    gop: int = 60
    encoder: str = "auto"  # or "nvenc", "qsv", "vaapi", "amf", "x264" (h264), "x265" (h265)
    rate_control: str = "cbr"  # or "vbr": twice the rate for a second, where the pictures ask for it
    profile: str = ""  # "baseline", "main" or "high"; empty: the encoder's own
    threads: int = 1  # of an encoder on the CPU
    preset: str = ""  # of an encoder on the CPU, "ultrafast" to "medium"; empty: the one that it has here


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream of a camera. `video` absent means: pass through what the source has encoded, if it has."""

    id: str
    source: Source
    video: VideoSpec | None = None
    # Where a joiner starts when no key frame can be forced: at the newest one, or at the next ("live").
    join: str = "newest"
    # The encoder stays on for this long after the last reader has gone: a reconnect then finds a running stream.
    linger_s: float = 10.0
    # Readers see a slate while the source has no picture; else they wait.
    standby: bool = True
    # Painted into what an encoder of ours makes.
    overlays: tuple[OverlaySpec, ...] = ()

    @property
    def kind(self) -> str:
        """The last part of the stream's URL, as in /ipc1-stream1/testlive."""
        return str(self.source.__struct_config__.tag)


class UserSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user as the RTSP side needs it: HA1 = H(name ":" realm ":" password) of RFC 7616 3.4.2, in lower-case hex."""

    name: str
    ha1_md5: str
    ha1_sha256: str = ""
    watches: bool = True  # False: one who may only publish


class CameraSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera: one worker process."""

    id: str
    name: str
    streams: tuple[StreamSpec, ...]
    enabled: bool = True  # else it has no worker
    realm: str = "camfleet"
    sha256: bool = False  # offer Digest SHA-256 after MD5; FFmpeg fails on it (interop 61), so it is opt-in
    publishers: tuple[UserSpec, ...] = ()  # users of this camera alone
    max_sessions: int = 1000
    max_variants: int = 4  # streams made at the wish of URLs, beside those of `streams`
    session_timeout_s: int = 60
    request_timeout_s: float = 10.0  # from a request's first byte to its last
    login_failures: int = 10  # of one user from one address within the window, then a lock-out
    login_failure_window_s: float = 60.0
    lockout_s: float = 60.0
    key_update_records: int = 2**22
    key_update_spacing_s: float = 10.0
    stall_timeout_s: float = 10.0  # a reader that takes nothing for so long is closed
