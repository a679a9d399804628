"""A camera that FFmpeg reads: how it is opened, and its packets as they come."""

from __future__ import annotations  # av.Packet is generic in its stubs only

import errno
import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from camfleet.core.log import Log
from camfleet.core.wire import Webcam

from ...clockmap import NS_PER_S
from ...encoders.errors import PYAV_ERRORS
from ..base import SourceError
from ..mediafile import MAX_PIXELS
from .nodes import FORMATS, Node, Offer, candidates, offers, refusal, stop_streaming

log = Log("sources")

# A camera that gives no picture for so long is opened anew, which is all that can be done about one that hangs.
MAX_SILENCE_NS = 3 * NS_PER_S
MAX_FIRST_NS = 8 * NS_PER_S  # for the first picture: some wait for a signal, or set their exposure
# Of a camera that may choose: no larger than streams usually are.
USUAL = 1280, 720
# FFmpeg would look at pictures for 5 MB, and then give those first: all that follow would be late.
NO_PROBING = {"probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"}


class Device:
    """An open camera. Belongs to one thread."""

    def __init__(self, node: Node, container: InputContainer, descriptor: int) -> None:
        """`descriptor`: to wait for pictures with; FFmpeg would wait for ever."""
        self._node = node
        self._container = container
        self._stream = container.streams.video[0]
        self._packets: Iterator[Packet[VideoStream]] = container.demux(self._stream)
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLIN)
        decoder = self._stream.codec_context
        decoder.thread_count = 1
        decoder.options = {"max_pixels": str(MAX_PIXELS)}
        self.intra_only = self._stream.codec.intra_only  # each picture stands for itself
        self.title = node.title

    def packet(self, wait_s: float) -> Packet[VideoStream] | None:
        """The next one, or None when none came within `wait_s`. Raises SourceError when the camera is gone."""
        if not self._ready.poll(wait_s * 1000):
            return None
        try:
            packet = next(self._packets, None)
        except PYAV_ERRORS as error:
            raise refusal(self._node, error) from error
        if packet is None:
            raise SourceError(f"{self.title} has ended")
        # A packet of FFmpeg's is the camera's own memory, and gone with the camera, whoever still looks at it.
        copy: Packet[Any] = Packet(bytes(packet))
        return copy

    def decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """Raises PYAV_ERRORS."""
        if not packet.size:  # to the decoder it would mean the end
            raise ValueError("damaged on its way from the camera")
        return self._stream.codec_context.decode(packet)

    def silence(self) -> SourceError:
        """What to raise when it has given no picture for too long."""
        return refusal(self._node, TimeoutError(errno.ETIMEDOUT, "no pictures"))

    def close(self) -> None:
        self._packets = iter(())  # it holds the last packet
        self._container.close()


def open_camera(source: Webcam) -> Device:
    """May wait until the camera has given its first picture, MAX_FIRST_NS at most. Raises SourceError."""
    for node in candidates(source.device):
        offered = offers(node)
        if offered is not None:
            return _opened(node, options(source, node, offered))
    raise SourceError(f"{source.device} is no camera, or one that gives no pictures")


def options(source: Webcam, node: Node, offered: list[Offer]) -> dict[str, str]:
    """For FFmpeg. Raises SourceError when the camera does not offer what is asked for, but only something near it."""
    found: dict[str, str] = {}
    size = (source.width, source.height) if source.width else None
    fitting = [offer for offer in offered if source.format in ("", offer.format) and (size is None or offer.has(*size))]
    if offered and not fitting:
        asked = " ".join(filter(None, [source.format, f"{source.width}x{source.height}" if size else ""]))
        raise SourceError(f"{node.title} does not offer {asked}, but {'; '.join(map(str, offered))}")
    best = min(fitting, key=lambda offer: list(FORMATS.values()).index(offer.format), default=None)
    if wanted := best.format if best is not None else source.format:
        found["input_format"] = wanted
    if size is None and best is not None:
        size = _usual(best)
    if size is not None:
        found["video_size"] = f"{size[0]}x{size[1]}"
    if source.fps:
        found["framerate"] = str(source.fps)
    return found


def _usual(offer: Offer) -> tuple[int, int] | None:
    """The largest size that is not over the usual one; None: as the camera is set now."""
    if any(USUAL in sizes for sizes in offer.sizes):
        return USUAL
    corners = [(sizes.width[0], sizes.height[0]) for sizes in offer.sizes]
    smaller = [size for size in corners if size[0] <= USUAL[0] and size[1] <= USUAL[1]]
    return max(smaller, key=lambda size: size[0] * size[1], default=None)


def _opened(node: Node, chosen: dict[str, str]) -> Device:
    try:
        before = _descriptors(node.path)
        container = _container(node.path, before, chosen)
        opened = _descriptors(node.path) - before  # FFmpeg has no other way to it
    except ValueError as error:
        raise SourceError(f"{node.title} does not take {' '.join(chosen.values()) or 'any format'}") from error
    except (OSError, *PYAV_ERRORS) as error:
        raise refusal(node, error) from error
    if len(opened) != 1:  # unplugged meanwhile; or another stream is trying
        container.close()
        raise refusal(node, OSError(errno.EBUSY if opened else errno.ENODEV, "No such device"))
    (descriptor,) = opened
    track = container.streams.video[0]
    log.info(
        "webcam_opened",
        camera=node.title,
        format=track.codec_context.pix_fmt if track.codec.name == "rawvideo" else track.codec.name,
        size=f"{track.width}x{track.height}",
        fps=round(float(track.average_rate or 0), 2),
    )
    return Device(node, container, descriptor)


def _container(path: str, before: set[int], chosen: dict[str, str]) -> InputContainer:
    """FFmpeg reads the first picture at once, and would wait for it for ever. Raises OSError and PYAV_ERRORS."""
    late = threading.Event()

    def give_up() -> None:
        late.set()
        with suppress(OSError):  # unplugged meanwhile
            for descriptor in _descriptors(path) - before:
                stop_streaming(descriptor)

    limit = threading.Timer(MAX_FIRST_NS / NS_PER_S, give_up)
    limit.start()
    container = None
    try:
        container = av.open(path, format="v4l2", options=chosen | NO_PROBING)
    except PYAV_ERRORS:
        if not late.is_set():
            raise
    finally:
        limit.cancel()
        limit.join()
    if late.is_set():  # to FFmpeg it may be only the end
        if container is not None:
            container.close()
        raise TimeoutError(errno.ETIMEDOUT, "no pictures")
    assert isinstance(container, InputContainer)
    return container


def _descriptors(path: str) -> set[int]:
    """Of this process, for this device, as FFmpeg opens it: reading waits."""
    device = Path(path).stat()
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), device) and os.get_blocking(descriptor):
                found.add(descriptor)
    return found
