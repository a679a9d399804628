"""All settings of the configuration file: design section 6 as types. A key or section that is not here is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from .affinity import Affinity, Cores, camera_cores_there, cores_there
from .overlays import Overlay
from .passwords import Password, PasswordFile, holds_password
from .publish import Publish, wrong_publisher
from .screens import ScreenLive, WindowLive
from .section import Check, Complaint, Section
from .sources import FileLive, Image, Source, TestLive
from .tls import TLS, CameraTLS
from .upstream import NetLive, RTSPLive
from .values import Address, Addresses
from .video import Video
from .webcam import Webcam

RTSPS = Literal["off", "available", "default", "required"]

# Ids stand in URLs (/ipc1-stream1/testlive, where "-" separates camera and stream) and in file names.
Id = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_]{1,32}\Z",
        description="Unique; stands in the URLs: `/<camera>-<stream>/<source>`.",
        extra={"allowed": 'up to 32 letters, digits and "_" (no "-": it separates camera and stream in a URL)'},
    ),
]


def _ports(_: Path, rtsps: str, rtsp_port: int, rtsps_port: int) -> Iterator[Complaint]:
    plain_port = 0 if rtsps == "required" else rtsp_port
    tls_port = 0 if rtsps == "off" else rtsps_port
    if plain_port and plain_port == tls_port:
        yield Complaint("rtsps_port", f"{tls_port} is the rtsp_port too", "two different ports")
    if not plain_port and not tls_port:
        name = "rtsps_port" if rtsps == "required" else "rtsp_port"
        yield Complaint(name, f'no port is open with rtsps = "{rtsps}"', "a port of its own from 1 to 65535")


class Server(Section, frozen=True, kw_only=True):
    """Listeners and the place of everything that is kept."""

    host: Annotated[
        Addresses,
        Meta(
            description="Addresses to listen on; the default is every IPv4 and IPv6 address of the host.",
            extra={"allowed": "an IPv4 or IPv6 address, or a list of different ones"},
        ),
    ] = Addresses(("0.0.0.0", "::"))
    rtsp_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of plain RTSP, which also serves a TLS client; 0 = closed.")
    ] = 8554
    rtsps_port: Annotated[int, Meta(ge=0, le=65535, description="Port of RTSP over TLS only; 0 = closed.")] = 8322
    rtsps: Annotated[
        RTSPS,
        Meta(
            description="`off`: no TLS. `available`: both, and URLs given out are `rtsp://`. `default`: both, and URLs "
            "given out are `rtsps://`. `required`: the plain port stays closed."
        ),
    ] = "default"
    state_dir: Annotated[
        str,
        Meta(
            min_length=1,
            description="Folder of certificates, keys, sockets and identity; a relative path starts at the "
            "configuration file. `--state-dir` goes before it. Absent: `/var/lib/camfleet` for root, else "
            "`$XDG_STATE_HOME/camfleet`.",
            extra={"allowed": "a path"},
        ),
    ] = ""

    checks: ClassVar = (Check(("rtsps", "rtsp_port", "rtsps_port"), _ports),)


class Digest(Section, frozen=True, kw_only=True):
    """A user's HA1 instead of the password: the hash of `name:camfleet:password`."""

    md5: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-f]{32}\Z",
            description="MD5, the only algorithm that FFmpeg knows.",
            extra={"allowed": "32 lower-case hex digits", "secret": True},
        ),
    ]
    sha256: Annotated[
        str,
        Meta(
            pattern=r"^([0-9a-f]{64})?\Z",
            description="SHA-256, for cameras with `digest_sha256`.",
            extra={"allowed": "64 lower-case hex digits", "secret": True},
        ),
    ] = ""


def _one_secret(_: Path, *secrets: object) -> Iterator[Complaint]:
    given = sum(bool(secret) for secret in secrets)
    if given != 1:
        wrong = "has no password" if not given else f"has {given} of password, password_file and digest"
        yield Complaint("", wrong, "exactly one of password, password_file, digest")


class User(Section, frozen=True, kw_only=True):
    """Who may watch. Without any, a user `viewer` is made at the first start; its password is shown once."""

    name: Annotated[
        str,
        Meta(
            pattern=r'^[^\x00-\x1f\x7f-\x9f:"\\]{1,64}\Z',
            description="Unique.",
            extra={"allowed": 'up to 64 characters without control characters, ":", "\\" and \'"\''},
        ),
    ]
    password: Password = ""
    password_file: PasswordFile = ""
    digest: Annotated[Digest, Meta(description="What Digest keeps of the password.")] | None = None

    unique: ClassVar = ("name",)
    checks: ClassVar = (
        Check(("password", "password_file", "digest"), _one_secret),
        Check(("password_file",), holds_password),
    )


def _painted(folder: Path, source: Source, video: Video | None, overlays: tuple[Overlay, ...]) -> Iterator[Complaint]:
    if overlays and video is None and source.spec(folder).passes_through:
        wrong = "has text for a stream that is passed through as it is"
        yield Complaint("overlays", wrong, "`video` settings, so that it is encoded anew")


class Stream(Section, frozen=True, kw_only=True):
    """One stream of a camera: `stream1` is the main one by custom, `stream2` the small one."""

    id: Id
    source: Annotated[
        TestLive | FileLive | Image | ScreenLive | WindowLive | Webcam | RTSPLive | NetLive | Publish,
        Meta(description="Where the pictures come from.", extra={"allowed": 'a table, as in { kind = "testlive" }'}),
    ]
    video: (
        Annotated[Video, Meta(description="The encoder's settings. Absent: the defaults, or pass-through.")] | None
    ) = None
    join: Annotated[
        Literal["newest", "live"],
        Meta(
            description="Where a joiner of a pass-through stream starts: at the newest key frame, at once but late "
            "by its age, or at the next one."
        ),
    ] = "newest"
    linger_s: Annotated[
        float,
        Meta(ge=0, le=86400, description="The encoder stays on for so long after the last reader, in seconds."),
    ] = 10.0

    standby: Annotated[
        bool,
        Meta(
            description="Readers see a slate (camera, since when, why) while the source has no picture, and stay "
            "connected. `false`: they see nothing, and new ones are refused."
        ),
    ] = True

    overlays: Annotated[
        tuple[Overlay, ...],
        Meta(
            max_length=8,
            description="Text in the pictures.",
            extra={"allowed": "up to 8 [[cameras.streams.overlays]] tables"},
        ),
    ] = ()

    unique: ClassVar = ("id",)
    checks: ClassVar = (Check(("source", "video", "overlays"), _painted),)


GLOBAL = "global"  # the identity of the server itself; see identities.py


def _not_global(_: Path, id: str) -> Iterator[Complaint]:
    if id == GLOBAL:
        yield Complaint("id", f'"{GLOBAL}" is the name of the server\'s own certificate', "another id")


_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"


class Camera(Section, frozen=True, kw_only=True):
    """One camera: one worker process."""

    id: Id
    name: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,64}\Z",
            description="For people. Absent: the id.",
            extra={"allowed": "up to 64 characters without control characters"},
        ),
    ] = ""
    enabled: Annotated[
        bool, Meta(description="`false`: as if it were not there, but its certificate is still looked after.")
    ] = True
    streams: Annotated[
        tuple[Stream, ...],
        Meta(min_length=1, description="Its streams.", extra={"allowed": "one [[cameras.streams]] or more"}),
    ]
    digest_sha256: Annotated[bool, Meta(description="Offer Digest SHA-256 after MD5. FFmpeg cannot log in then.")] = (
        False
    )
    rtsps_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="A port of its own for RTSPS, where its certificate is served; 0: none."),
    ] = 0
    server_name: Annotated[
        str,
        Meta(
            pattern=rf"^(?!.{{254}})((\*\.{_LABEL}\.)?{_LABEL}(\.{_LABEL})*)?\Z",
            description="Clients that ask for this name (SNI) get its certificate; `*.` stands for any first label.",
            extra={"allowed": 'a DNS name in lower case, or "*." and a name of two labels or more'},
        ),
    ] = ""
    address: Annotated[
        Address,
        Meta(
            description="Clients that connect to this address of the host get its certificate.",
            extra={"allowed": "an IPv4 or IPv6 address in its shortest form"},
        ),
    ] = Address("")
    tls: Annotated[CameraTLS, Meta(description="Its own certificate, and whom it lets in.")] | None = None
    cpus: Annotated[
        Cores,
        Meta(
            description="Its worker runs on these processor cores only. Absent: as `workers.affinity` says.",
            extra={"allowed": "a list of core numbers, as in [2, 3]"},
        ),
    ] = ()

    unique: ClassVar = ("id", "rtsps_port", "server_name", "address")
    checks: ClassVar = (Check(("id",), _not_global), Check(("id", "cpus"), camera_cores_there))


class Limits(Section, frozen=True, kw_only=True):
    """What one peer, and all of them, may take. Over a limit a client gets a clear RTSP error; others feel nothing."""

    handshake_timeout_s: Annotated[
        float,
        Meta(ge=0.1, le=600, description="From the accepted connection to the end of the TLS handshake, in seconds."),
    ] = 5.0
    first_request_timeout_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="From there to the first request that names a camera, and from the first byte of any later one "
            "to its last, in seconds.",
        ),
    ] = 10.0
    connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Connections in all; each costs a descriptor.")
    ] = 20_000
    connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections of one IPv4 address or IPv6 /64: a recorder with two streams of every camera, or "
            "a whole site behind NAT.",
        ),
    ] = 5_000
    pending_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Of these, connections on which nobody has logged in yet. A worker ends them after 30 seconds.",
        ),
    ] = 1_000
    sessions_per_camera: Annotated[int, Meta(ge=1, le=100_000, description="Readers of one camera.")] = 1_000
    variants_per_camera: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Other pictures of its streams that one camera makes at the same time, as URLs ask for them "
            "(`?ve=h265&w=640&h=360&fps=10&vb=500k`: codec, size, frames per second, bits per second); each takes an "
            "encoder while somebody watches. 0: none.",
        ),
    ] = 4
    sessions: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections at all cameras: readers, and those on which nobody has logged in yet, of which "
            "one address has at most `pending_per_address`.",
        ),
    ] = 10_000
    session_timeout_s: Annotated[
        int, Meta(ge=5, le=3600, description="A session without any sign of life ends after so long, in seconds.")
    ] = 60
    reader_stall_timeout_s: Annotated[
        float,
        Meta(ge=1, le=600, description="A reader that takes nothing for so long is closed, in seconds."),
    ] = 10.0
    login_failures: Annotated[
        int, Meta(ge=1, le=10_000, description="Failed logins of one user from one address before a lock-out.")
    ] = 10
    login_failure_window_s: Annotated[
        float, Meta(ge=1, le=86400, description="Failures older than this are forgotten, in seconds.")
    ] = 60.0
    lockout_s: Annotated[
        float, Meta(ge=0, le=86400, description="How long such a user is refused from that address, in seconds.")
    ] = 60.0


class Workers(Section, frozen=True, kw_only=True):
    """Life of the worker processes."""

    orphan_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86400,
            description="Streams go on for so long without a supervisor, then the worker ends, in seconds.",
        ),
    ] = 300.0
    silence_timeout_s: Annotated[
        float,
        Meta(ge=1, le=600, description="A worker that has not answered for so long is replaced, in seconds."),
    ] = 10.0
    affinity: Annotated[
        Affinity,
        Meta(
            description="Processor cores. `none`: the kernel moves each thread as it likes. `spread`: each worker has "
            "one core, the one least used when it starts; when cores differ much, a worker at a time goes to another. "
            "A list: all workers run on these cores only. A camera's `cpus` go before it.",
            extra={"allowed": '"none", "spread" or a list of core numbers, as in [2, 3]'},
        ),
    ] = "none"

    checks: ClassVar = (Check(("affinity",), cores_there),)


def _own_ports(_: Path, server: Server, cameras: tuple[Camera, ...]) -> Iterator[Complaint]:
    for index, camera in enumerate(cameras):
        for name, port in (("rtsp_port", server.rtsp_port), ("rtsps_port", server.rtsps_port)):
            if camera.rtsps_port and camera.rtsps_port == port:
                yield Complaint("cameras", f"{port} is server.{name} too", "a port of its own", (index, "rtsps_port"))


def _client_authorities(_: Path, tls: TLS, cameras: tuple[Camera, ...]) -> Iterator[Complaint]:
    """With what a camera takes over from the server."""
    for index, camera in enumerate(cameras):
        wanted = camera.tls.client_certificates if camera.tls else None
        if camera.tls and wanted in ("optional", "required") and not (camera.tls.client_ca or tls.client_ca):
            wrong = f'is missing with client_certificates = "{wanted}"'
            yield Complaint("cameras", wrong, "a path here or in [tls]", (index, "tls", "client_ca"))


def _publishers(_: Path, users: tuple[User, ...], cameras: tuple[Camera, ...]) -> Iterator[Complaint]:
    names = frozenset(user.name for user in users)
    for index, camera in enumerate(cameras):
        passwords: dict[str, tuple[str, str]] = {}
        for number, stream in enumerate(camera.streams):
            if not isinstance(source := stream.source, Publish):
                continue
            at = (index, "streams", number, "source", "user")
            secret = source.password, source.password_file
            if (found := wrong_publisher(source, names)) is not None:
                yield Complaint("cameras", *found, at)
            elif passwords.setdefault(source.user, secret) != secret:
                wrong = f'"{source.user}" has another password in another stream of the camera'
                yield Complaint("cameras", wrong, "the same one, or another name", at)


class Document(Section, frozen=True, kw_only=True):
    """The whole file. Everything may be absent: the empty file serves one test camera."""

    server: Annotated[Server, Meta()] = Server()
    tls: Annotated[TLS, Meta()] = TLS()
    users: Annotated[tuple[User, ...], Meta(extra={"allowed": "[[users]] tables"})] = ()
    cameras: Annotated[tuple[Camera, ...], Meta(extra={"allowed": "[[cameras]] tables"})] = ()
    limits: Annotated[Limits, Meta()] = Limits()
    workers: Annotated[Workers, Meta()] = Workers()

    checks: ClassVar = (
        Check(("server", "cameras"), _own_ports),
        Check(("tls", "cameras"), _client_authorities),
        Check(("users", "cameras"), _publishers),
    )
