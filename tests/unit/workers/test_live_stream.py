"""What DESCRIBE says of a stream."""

import re
from base64 import b64encode
from typing import cast

import pytest
from camfleet.core.ring.stream import MediaStream
from camfleet.core.wire import FileLive, StreamSpec
from camfleet.workers.codecs import Description
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.session import LiveStream

from tests.kit.fakes import PPS, SPS, FakeMedia, FakePipeline


@pytest.mark.parametrize("sets", [(SPS, PPS), (SPS, SPS + b"2", PPS), (SPS, PPS, PPS + b"2")])
def test_one_sps_and_one_pps_of_all_that_a_file_has(sets: tuple[bytes, ...]) -> None:
    pipeline = FakePipeline(Description(width=1280, height=720, fps=25, parameter_sets=sets))
    spec = StreamSpec(id="stream1", source=FileLive("/clip.mp4"))
    stream = LiveStream(spec, "Lobby", cast(MediaStream, FakeMedia()), cast(StreamPipeline, pipeline))
    sdp = stream.session_description()
    assert sdp is not None
    (sprop,) = re.findall(r"sprop-parameter-sets=(\S+)", sdp)
    assert sprop == ",".join(b64encode(unit).decode() for unit in (SPS, PPS))
