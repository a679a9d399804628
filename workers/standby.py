"""The picture that readers see while the stream's own is missing: whose, since when, and why in a few words."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from camfleet.core.log import Log
from camfleet.core.memory import give_back
from camfleet.core.wire import VideoSpec
from msgspec.structs import replace

from .clockmap import NS_PER_S
from .codecs import AccessUnit
from .encoders import SOFTWARE
from .feed import StillFeed
from .sources import Place, slate

log = Log("standby")

# Readers see the slate within two seconds; these leave half a second to make it on a busy machine.
START_NS = NS_PER_S  # from the opening of the source to its first picture
SILENCE_NS = 3 * NS_PER_S // 2  # from one picture to the next, where nothing speaks for less
SLOWEST_NS = 4 * NS_PER_S  # more than this between two pictures is no rhythm
NEVER_NS = 2**62
SILENT = "no picture from the source"

# Nothing but key frames: so the fewest pictures have to be coded, and joiners of a pass-through wait for one. No size
# that a decoder may refuse.
SLATE = VideoSpec(fps=5, gop=1, bitrate_bps=1_000_000)
MIN_SIDE, MAX_PIXELS = 64, 3840 * 2160


class Absence(NamedTuple):
    """Of the stream's own picture."""

    reason: str  # for the operator
    shown: str  # for everybody who watches: no paths, no addresses
    since_ns: int


class Shape(NamedTuple):
    """The slate has that of the stream, so that decoders and recorders find what they know."""

    codec: str = SLATE.codec
    width: int = SLATE.width
    height: int = SLATE.height


class Standby:
    """Judges when the slate is shown, and has it while it is. Belongs to the pipeline's thread; `now_ns` comes in."""

    def __init__(self, title: str, enabled: bool) -> None:
        self.enabled = enabled
        self.absence: Absence | None = None  # None: the picture is there, or has not been missed yet
        self._title = title
        self._last_ns = 0
        self._patience_ns = NEVER_NS
        self._slate: StillFeed | None = None
        self._made_of: tuple[Absence, Shape, str] | None = None

    @property
    def is_shown(self) -> bool:
        return self._slate is not None

    @property
    def due_ns(self) -> int:
        """When to `make` it and to `read`."""
        return self._slate.due_ns if self._slate else self._patience_ns

    # ---------------------------------------------------------------- what happens to the picture

    def expect(self, now_ns: int) -> None:
        """A first picture, soon; who had none before is not waited for."""
        if self.enabled:
            self._patience_ns = now_ns if self.absence else now_ns + START_NS

    def arrived(self, now_ns: int, next_ns: int, *, visible: bool) -> None:
        """Something of the source, which has planned more for `next_ns`, or knows nothing of the future.

        `visible`: readers have had a key frame to begin with.
        """
        rhythm_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if self.enabled and visible:
            planned_ns = next_ns if now_ns < next_ns < now_ns + 2 * SLOWEST_NS else now_ns
            usual_ns = 2 * rhythm_ns if rhythm_ns < SLOWEST_NS else 0
            self._patience_ns = planned_ns + max(SILENCE_NS, usual_ns)

    def exhausted(self, now_ns: int) -> None:
        """The source has repeated its last picture for as long as that may stand: nobody waits once more."""
        if self.enabled:
            self._patience_ns = now_ns

    def miss(self, reason: str, shown: str, now_ns: int) -> Absence:
        """There is no picture. It is logged once, however often it is found."""
        since_ns = self.absence.since_ns if self.absence else self._last_ns or now_ns
        absence = Absence(reason, shown, since_ns)
        if absence != self.absence:
            log.warning("no_picture", stream=self._title, reason=reason)
            self.absence = absence
            if self.enabled:
                self._patience_ns = now_ns
        return absence

    def back(self, now_ns: int) -> None:
        """The picture; no slate any more."""
        if self.absence is not None:
            log.info("picture_back", stream=self._title, after_s=round((now_ns - self.absence.since_ns) / NS_PER_S, 1))
            self.absence = None
            self.close()

    def forget(self) -> None:
        """Whatever was known of the source: another one will be asked, or at another time."""
        self.absence, self._last_ns = None, 0

    # ---------------------------------------------------------------- the slate

    def make(self, place: Place, absence: Absence, shape: Shape, start_ns: int) -> StillFeed | None:
        """The slate, when it has to be another one than before."""
        made_of = absence, shape, place.camera_name
        if self._slate is not None and self._made_of == made_of:
            return None
        self._slate, self._made_of = open_slate(place, absence, shape, start_ns), made_of
        give_back()
        return self._slate

    def read(self, now_ns: int, force_key: bool) -> Sequence[AccessUnit]:
        return self._slate.read(now_ns, force_key) if self._slate and self._slate.due_ns <= now_ns else ()

    def close(self) -> None:
        self._slate = None
        self._patience_ns = NEVER_NS


def open_slate(place: Place, absence: Absence, shape: Shape, start_ns: int) -> StillFeed:
    if shape.width * shape.height > MAX_PIXELS:
        shape = shape._replace(width=SLATE.width, height=SLATE.height)
    width, height = (max(MIN_SIDE, side & ~1) for side in (shape.width, shape.height))
    since = time.localtime((absence.since_ns + place.unix_offset_ns) // NS_PER_S)
    lines = (
        (place.camera_name, 1 / 10),
        ("NO SIGNAL", 1 / 6),
        (time.strftime("since %Y-%m-%d %H:%M:%S", since), 1 / 16),
        (absence.shown, 1 / 16),
    )
    return StillFeed(
        slate(width, height, lines),
        replace(SLATE, codec=shape.codec, width=width, height=height, encoder=SOFTWARE[shape.codec].name),
        start_ns,
    )
