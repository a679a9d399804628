"""Access units of a camera as readers need them: parameter sets before each key frame, and a description."""

from camfleet.core.rtp.depacketizer import ReceivedUnit
from camfleet.core.sdp.parse import VideoTrack

from ...codecs import CODECS, H265, Description, cut_here
from ...sps import PictureFormat, picture_format
from ..base import SourceError
from ..mediafile import MAX_PIXELS

MAX_SETS = 32  # of one type in one unit; cameras have one


class UnitCompletion:
    """Knows the newest parameter sets, of the SDP first, then of the stream."""

    def __init__(self, track: VideoTrack) -> None:
        """Raises SourceError, as `complete`, for pictures that nobody can want."""
        self._codec = CODECS[track.codec]
        self._sets: dict[int, tuple[bytes, ...]] = {}
        self._format: PictureFormat | None = None
        self.description: Description | None = None
        try:
            self._learn(track.parameter_sets)
        except ValueError:
            self._sets.clear()  # those in the stream may be better

    def complete(self, unit: ReceivedUnit) -> bytes | None:
        """The unit with all that a decoder needs to start with it, if it is a key frame; None: it cannot be shown."""
        data, present = unit.data, set[int]()
        if unit.parameter_sets:
            try:
                present = self._learn(self._codec.parameter_sets(data))
            except ValueError:
                return None
        if not unit.key_frame:
            return data
        if self.description is None:
            return None
        if unit.is_first and self._codec is H265:
            data = cut_here(data)
        if present.issuperset(self._codec.parameter_types):
            return data
        return self._codec.with_parameter_sets(data, self.description.parameter_sets)

    def _learn(self, units: tuple[bytes, ...]) -> set[int]:
        """The types of these. Raises ValueError for an SPS that is broken."""
        found: dict[int, tuple[bytes, ...]] = {}
        for unit in units:
            kind = self._codec.kind(unit[0])
            if kind in self._codec.parameter_types and len(found.get(kind, ())) < MAX_SETS:
                found[kind] = (*found.get(kind, ()), unit)
        if any(self._sets.get(kind) != sets for kind, sets in found.items()):
            self._replace(found)
        return set(found)

    def _replace(self, found: dict[int, tuple[bytes, ...]]) -> None:
        sps = self._codec.parameter_types[-2]
        form = picture_format(self._codec.name, found[sps][0]) if sps in found else self._format
        if form is not None and form.width * form.height > MAX_PIXELS:
            size = f"{form.width}x{form.height}"
            raise SourceError(f"has pictures of {size}, over the limit of {MAX_PIXELS} pixels")
        self._sets |= found
        self._format = form
        if form is not None and self._sets.keys() >= set(self._codec.parameter_types):
            sets = tuple(unit for kind in self._codec.parameter_types for unit in self._sets[kind])
            self.description = Description(form.width, form.height, form.fps, sets, self._codec.name)
