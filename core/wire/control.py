"""Orders and news between supervisor and workers, one msgpack message per ZeroMQ frame.

    supervisor (ROUTER, ipc://RUN/bus.sock)                    worker (DEALER)
                                   <--  Hello                  at start, after every reconnect and after lost news
    Configure                      -->                         camera, users, nonce key; again when any of it changes
    Adopt (+ record by fdpass)     -->
                                   <--  Adopted | Refused
                                   <--  LoggedIn
                                   <--  HandBack (+ record by fdpass) | Ended
    Ping                           -->  Pong                   both watch for silence; the settings in force
    StatsRequest                   -->  Stats
    LockedOut                      -->  all workers
                                   <--  LoginFailed
    MakeWay                        -->                         to the one that serves, when its successor has come
                                   <--  SuccessionFailed       of either of the two; the one that serves goes on
    Stop                           -->                         goodbye to the readers, then exit

A command-line client is a DEALER too; it may only say StatusRequest and ReplaceRequest, and is answered with Status and
Replaced. A message of an unknown type or form does not decode; Hello, Configure and the two requests tell the
WIRE_VERSION of their sender. Whoever gets another one logs it and drops it (a worker of another version is replaced),
but for StatusRequest: its answer is JSON that all versions read.
Hello, Pong and Stats tell by a digest which Configure is in force: one that is lost is repeated.
Largest message: a Stats of 10,000 readers, about 4 MB. Typical Adopt: 600 bytes.
"""

import hashlib
from typing import Any

import msgspec

from .camera import CameraSpec, UserSpec, VideoSpec

WIRE_VERSION = 5
MAX_MESSAGE_SIZE = 16 * 1024 * 1024

# How a worker ends; 0 is an orderly end, anything else but these a crash.
EXIT_BOOT_FAILED = 3  # it never came to serve: the settings or the machine are wrong, a quick retry will not help
EXIT_LOCKED = 4  # another worker holds RUN/<camera>.lock: wait for its Hello instead


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="t", forbid_unknown_fields=True):
    """Base of all messages; the tag is the class name."""


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """An address and port of TCP; `host` of IPv6 without brackets and scope."""

    host: str
    port: int

    def __str__(self) -> str:
        """As in 192.0.2.9:40112 and [2001:db8::1]:40112."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TLSInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What status shows of a TLS session; nothing secret."""

    version: str  # "TLSv1.3"
    suite: str  # "TLS_AES_128_GCM_SHA256"
    group: str = ""
    server_name: str = ""
    certificate: str = ""  # whose it was: "global", or a camera's id
    certificate_fingerprint: str = ""  # SHA-256, hex
    client_user: str = ""  # who the client is by its certificate, which has been verified; empty: nobody
    client_authority: str = ""  # by what; empty: the client has shown no certificate


class Connection(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One client connection, by the random 63-bit id of its first hand-off; hand-back keeps the id."""

    handoff: int
    peer: Endpoint
    tls: TLSInfo | None = None

    @property
    def client_authority(self) -> str:
        """Of its certificate; empty: it has shown none."""
        return self.tls.client_authority if self.tls else ""

    @property
    def client_user(self) -> str:
        return self.tls.client_user if self.tls else ""

    def where_trusted(self, authority: str) -> "Connection":
        """As one for which this authority, and no other, may speak: a certificate of another one proves nothing."""
        if self.client_authority == authority:
            return self
        tls = self.tls and msgspec.structs.replace(self.tls, client_user="", client_authority="")
        return msgspec.structs.replace(self, tls=tls)


# ---------------------------------------------------------------- worker to supervisor


class Hello(Message, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """First message on a connection; that of another version must decode to be understood. `settings`: as in Pong.

    `connections` are all that the worker holds: of others that it has adopted, the end was in news that were lost.
    """

    version: int
    camera: str
    pid: int
    settings: str = ""
    serving: bool = True  # False: a successor that is getting ready, or a predecessor that has made way
    build: str = ""  # of the code that it runs, see core.build
    connections: list[Connection] = []


class Adopted(Message, frozen=True, kw_only=True):
    handoff: int


class LoggedIn(Message, frozen=True, kw_only=True):
    """Somebody has logged in on a connection; until then it counts for the limit of strangers from its address."""

    handoff: int


class Refused(Message, frozen=True, kw_only=True):
    handoff: int
    reason: str


class HandBack(Message, frozen=True, kw_only=True):
    """The connection asks for another camera; its descriptor and TLS state come by fdpass."""

    connection: Connection
    received: bytes  # plaintext from the first byte of the request that names the other camera


class Ended(Message, frozen=True, kw_only=True):
    """A connection is closed; counted for the limits per address."""

    handoff: int
    reason: str


class SuccessionFailed(Message, frozen=True, kw_only=True):
    """The successor is not fit, or the one that serves could not hand over and goes on."""

    reason: str


class Pong(Message, frozen=True, kw_only=True):
    id: int
    settings: str = ""  # the digest of the Configure in force; empty: none is yet


class LoginFailed(Message, frozen=True, kw_only=True):
    address: str
    user: str


class StreamStats(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kind: str
    state: str  # "idle" | "starting" | "running" | "standby: why" | "failed: why"
    codec: str
    width: int
    height: int
    fps: float  # measured over the last seconds, 0 while idle
    bitrate_bps: int  # measured
    encoder: str
    frames: int
    key_frames: int
    latency_p50_ms: float  # from capture to the last byte in the kernel, over all readers and the last seconds; 0: none
    latency_p99_ms: float
    video: VideoSpec | None = None  # as ordered and in force; None: passed through
    join: str = ""  # likewise
    linger_s: float = 0.0
    variant: str = ""  # made at the wish of a URL: what that asks for, as a query; empty: as configured


class ReaderStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As `camfleet status --json` shows it."""

    peer: str  # "192.0.2.9:40112" | "[2001:db8::1]:40112"
    user: str
    stream: str
    variant: str = ""  # as in StreamStats
    state: str  # "ready" | "playing" | "paused"; "recording": it publishes
    transport: str  # "tcp"
    tls_version: str  # "" when plain
    tls_suite: str
    tls_group: str = ""  # "X25519MLKEM768"
    certificate: str = ""  # whose it was shown: "global", or a camera's id
    certificate_fingerprint: str
    bytes_sent: int
    frames_skipped: int
    key_updates: int = 0  # TLS: sent by us
    age_s: float


class Stats(Message, frozen=True, kw_only=True):
    id: int
    camera: str
    streams: list[StreamStats]
    readers: bytes  # JSON text of a list of ReaderStatus: as there may be thousands, status passes it on unread
    connections: int
    settings: str = ""  # as in Pong
    live_objects: dict[str, int] = {}  # of the engine: what must not grow


# ---------------------------------------------------------------- supervisor to worker


class Configure(Message, frozen=True, kw_only=True):
    """The whole truth for a worker, which makes it so: only what differs from before is touched, and no reader of that.

    The nonce key is shared so that a Digest nonce survives a hand-back.
    """

    version: int
    camera: CameraSpec
    users: list[UserSpec]
    nonce_key: bytes
    orphan_timeout_s: float = 300.0  # end when no supervisor has been heard for this long

    def digest(self) -> str:
        """A fingerprint of all of it."""
        return hashlib.sha256(msgspec.msgpack.encode(self)).hexdigest()[:16]


class Adopt(Message, frozen=True, kw_only=True):
    """Joined with the HandoffRecord of the same id."""

    connection: Connection
    received: bytes  # plaintext read so far, from the first byte of the request that names this camera


class Ping(Message, frozen=True, kw_only=True):
    id: int


class StatsRequest(Message, frozen=True, kw_only=True):
    id: int


class LockedOut(Message, frozen=True, kw_only=True):
    """Refuse logins of this user from this address for so long."""

    address: str
    user: str
    seconds: float


class MakeWay(Message, frozen=True, kw_only=True):
    """Hand the camera over to the worker with this pid (core/wire/succession.py); then wait for Stop."""

    successor: int


class Stop(Message, frozen=True, kw_only=True):
    deadline_s: float = 2.0


# ---------------------------------------------------------------- command line


class StatusRequest(Message, frozen=True, kw_only=True):
    version: int


class Status(Message, frozen=True, kw_only=True):
    """The JSON text of `camfleet status --json`."""

    json: bytes


class ReplaceRequest(Message, frozen=True, kw_only=True):
    """Give the camera a fresh worker."""

    version: int
    camera: str


class Replaced(Message, frozen=True, kw_only=True):
    """`problem` is empty when it has one now."""

    camera: str
    pid: int = 0
    sessions: int = 0  # that have moved
    problem: str = ""


_MESSAGES = (
    Hello | Adopted | LoggedIn | Refused | HandBack | Ended | Pong | LoginFailed | Stats | SuccessionFailed
    | Configure | Adopt | Ping | StatsRequest | LockedOut | MakeWay | Stop
    | StatusRequest | Status | ReplaceRequest | Replaced
)  # fmt: skip
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_MESSAGES)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """One message as bytes."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """The message in `data`; raises msgspec.DecodeError or ValidationError on anything else."""
    if len(data) > MAX_MESSAGE_SIZE:
        raise msgspec.ValidationError(f"message of {len(data)} bytes, at most {MAX_MESSAGE_SIZE}")
    message: Message = _decoder.decode(data)
    return message
