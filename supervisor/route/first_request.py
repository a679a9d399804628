"""From plaintext to the first request that names a camera of ours. Everything before it is answered here."""

import asyncio
import time
from collections.abc import Callable

from camfleet.core.rtsp import LoginFailed, OtherCamera, Refused, ServerConnection
from camfleet.supervisor.listen import Channel
from camfleet.supervisor.listen.door import TurnedAwayError

# Answers to a client that names no camera of ours: OPTIONS *, a 401 and a 404. ffmpeg and GStreamer need none of them,
# as they send the camera's URL with OPTIONS too.
MAX_ANSWERS = 8
# What needs no answer, such as interleaved frames of a stream that a hand-back has ended; 100,000 small ones fit.
MAX_RECEIVED_SIZE = 1024 * 1024


async def first_request(
    channel: Channel,
    rtsp: ServerConnection,
    deadline_ns: int,
    *,
    is_known: Callable[[str], bool],
    login_failed: Callable[[str], None],
    refused: Callable[[Refused], None],
) -> OtherCamera | None:
    """The request to route; None when the client has gone and the channel is to be closed.

    `login_failed(user)` hears of wrong credentials in requests for cameras that do not exist, `refused` of right ones.
    Lets OSError out. Raises TurnedAwayError when it is we who end it.
    """
    answers = received_size = 0
    late = False
    while True:
        request = _next_request(rtsp, is_known, login_failed, refused)
        if request is None and not rtsp.should_close and time.monotonic_ns() >= deadline_ns:
            rtsp.give_up()
            late = True
        if data := rtsp.data_to_send():
            await channel.send(data)
            answers += 1
        if request is not None:
            return request
        if late:
            raise TurnedAwayError("no camera", "no request for one in time")
        if rtsp.should_close:
            raise TurnedAwayError("refused", "its request was answered with an error")
        if answers >= MAX_ANSWERS:
            raise TurnedAwayError("no camera", f"no request for one among {answers}")
        if received_size > MAX_RECEIVED_SIZE:
            raise TurnedAwayError("no camera", f"no request for one in {received_size} bytes")
        due_ns = min(deadline_ns, rtsp.next_deadline() or deadline_ns)
        try:
            async with asyncio.timeout((due_ns - time.monotonic_ns()) / 1e9):
                data = await channel.receive()
        except TimeoutError:
            rtsp.handle_timeout(time.monotonic_ns())
            late = rtsp.should_close
            continue
        if not data:
            return None
        received_size += len(data)
        rtsp.receive_data(data, time.monotonic_ns())


def _next_request(
    rtsp: ServerConnection,
    is_known: Callable[[str], bool],
    login_failed: Callable[[str], None],
    refused: Callable[[Refused], None],
) -> OtherCamera | None:
    while (event := rtsp.next_event(time.monotonic_ns())) is not None:
        if isinstance(event, LoginFailed):
            login_failed(event.user)
        elif isinstance(event, Refused):
            refused(event)
        elif isinstance(event, OtherCamera):
            if is_known(event.camera):
                return event
            rtsp.unknown_camera()
    return None
