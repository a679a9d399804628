"""What the supervisor runs by: the document's words resolved into units, paths and wire types."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from camfleet.core import wire
from camfleet.core.bitrate import Bitrate
from camfleet.core.wire import CameraSpec, StreamSpec, UserSpec
from camfleet.supervisor.credentials import REALM, user_spec

from . import sources
from .identities import TLSSettings, resolve_tls
from .passwords import read_password_file
from .publish import Publish
from .read import ConfigurationError, Problem, read
from .schema import RTSPS, Camera, Document, Limits, Stream, User, Workers
from .video import Video

# What an empty configuration serves.
TEST_CAMERA = Camera(
    id="ipc1",
    name="Test camera",
    streams=(
        Stream(id="stream1", source=sources.TestLive()),
        Stream(
            id="stream2",
            source=sources.TestLive(),
            video=Video(width=640, height=360, fps=15, gop=30, bitrate=Bitrate(500_000)),
        ),
    ),
)


Signature = tuple[int, int, int]  # of a file: when it was changed, size, inode


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One valid configuration."""

    file: Path | None  # None: no configuration file
    hosts: tuple[str, ...]  # addresses to listen on; IPv6 without brackets; "::" is IPv6 only
    rtsp_port: int  # 0: closed
    rtsps_port: int  # 0: closed
    rtsps: RTSPS
    state_dir: Path | None  # as configured
    tls: TLSSettings
    users: tuple[UserSpec, ...]  # empty: the state folder's generated user
    cameras: tuple[CameraSpec, ...]
    limits: Limits
    workers: Workers
    cores: Mapping[str, frozenset[int]] = MappingProxyType({})  # of cameras whose worker is bound to some
    files: Mapping[Path, Signature] = MappingProxyType({})  # what it was read from, as each was just before

    @property
    def served(self) -> tuple[CameraSpec, ...]:
        """The cameras that are enabled."""
        return tuple(camera for camera in self.cameras if camera.enabled)


def load(file: Path | None, overrides: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """The settings in `file`, or the defaults, with `overrides` of [server] on top. Raises ConfigurationError."""
    files = {file: signature(file)} if file else {}
    document = read(file, overrides)
    folder = file.absolute().parent if file else Path.cwd()
    pulled = [stream.source for camera in document.cameras for stream in camera.streams]
    passwords = [*(user.password_file for user in document.users), *(source.secret_file for source in pulled)]
    files |= {folder / path: signature(folder / path) for path in passwords if path}
    return msgspec.structs.replace(resolve(document, file, folder), files=files)


def signature(path: Path) -> Signature:
    """What is another one when the file has changed; zeros when there is none."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino


def check(file: Path) -> list[Problem]:
    """Everything that is wrong with `file`; empty when it can be served."""
    try:
        load(file)
    except ConfigurationError as error:
        return error.problems
    return []


def resolve(document: Document, file: Path | None, folder: Path) -> Settings:
    server, cameras = document.server, document.cameras or (TEST_CAMERA,)
    return Settings(
        file=file,
        hosts=tuple(server.host),
        rtsp_port=0 if server.rtsps == "required" else server.rtsp_port,
        rtsps_port=0 if server.rtsps == "off" else server.rtsps_port,
        rtsps=server.rtsps,
        state_dir=folder / server.state_dir if server.state_dir else None,
        tls=resolve_tls(document.tls, cameras),
        users=tuple(_user(user, folder) for user in document.users),
        cameras=tuple(_camera(camera, document, folder) for camera in cameras),
        limits=document.limits,
        workers=document.workers,
        cores={camera.id: cores for camera in cameras if (cores := _cores(camera, document.workers))},
    )


def _cores(camera: Camera, workers: Workers) -> frozenset[int]:
    of_all = () if isinstance(workers.affinity, str) else workers.affinity
    return frozenset(camera.cpus or of_all)


def _user(user: User, folder: Path) -> UserSpec:
    if user.digest is not None:
        return UserSpec(name=user.name, ha1_md5=user.digest.md5, ha1_sha256=user.digest.sha256)
    if user.password_file:
        return user_spec(user.name, read_password_file(folder / user.password_file))
    return user_spec(user.name, user.password)


def _camera(camera: Camera, document: Document, folder: Path) -> CameraSpec:
    limits, tls = document.limits, document.tls
    published = [stream.source for stream in camera.streams if isinstance(stream.source, Publish)]
    publishers = {user.name: user for source in published if (user := source.publisher(folder))}
    return CameraSpec(
        id=camera.id,
        name=camera.name or camera.id,
        enabled=camera.enabled,
        streams=tuple(_stream(stream, folder) for stream in camera.streams),
        realm=REALM,
        sha256=camera.digest_sha256,
        publishers=tuple(publishers.values()),
        max_sessions=limits.sessions_per_camera,
        max_variants=limits.variants_per_camera,
        session_timeout_s=limits.session_timeout_s,
        request_timeout_s=limits.first_request_timeout_s,
        login_failures=limits.login_failures,
        login_failure_window_s=limits.login_failure_window_s,
        lockout_s=limits.lockout_s,
        stall_timeout_s=limits.reader_stall_timeout_s,
        key_update_records=tls.key_update_records,
        key_update_spacing_s=tls.key_update_spacing_s,
    )


def _stream(stream: Stream, folder: Path) -> StreamSpec:
    source, video = stream.source.spec(folder), stream.video
    if isinstance(source, wire.Publish):
        source = msgspec.structs.replace(source, stream=stream.id)
    if not source.passes_through:
        video = video or Video()
    return StreamSpec(
        id=stream.id,
        source=source,
        video=video.spec() if video else None,
        join=stream.join,
        linger_s=stream.linger_s,
        standby=stream.standby,
        overlays=tuple(overlay.spec(folder) for overlay in stream.overlays),
    )
