import threading
from typing import Any

import av
import av.error
import av.logging
import pytest
from camfleet.workers.encoders.errors import plain_words, with_reasons


def failure(kind: type[av.error.FFmpegError], code: int, component: str, text: str) -> av.error.FFmpegError:
    log: Any = (16, component, text + "\n")  # PyAV's stub has a number in front of it
    return kind(code, "Operation not permitted", "avcodec_open2", log)


@pytest.mark.parametrize(
    ("logged", "words"),
    [
        ("Cannot load libcuda.so.1", "no NVIDIA driver on this machine"),
        ("OpenEncodeSessionEx failed: out of memory (10): (no details)", "opens no further encoder session"),
        ("OpenEncodeSessionEx failed: unsupported device (2): (no details)", "has no encoder"),
        ("Driver does not support the required nvenc API version. Required: 13.0 Found: 12.0", "driver is too old"),
        ("Error creating a MFX session: -9.", "no Intel GPU"),
        ("something new", "Operation not permitted: [h264_x] something new"),
    ],
)
def test_the_logged_text_decides_not_the_class(logged: str, words: str) -> None:
    """A missing driver is a PermissionError to PyAV, and so is a missing permission."""
    assert words in plain_words(failure(av.error.PermissionError, 1, "h264_x", logged))


def test_what_is_no_error_of_ffmpeg_keeps_its_text() -> None:
    assert plain_words(ValueError("no such thing")) == "no such thing"
    assert plain_words(av.error.FileNotFoundError(2, "No such file or directory", "x")) == "No such file or directory"


def test_ffmpeg_log_lines_are_there_inside_and_off_again_after_an_error() -> None:
    assert av.logging.get_level() is None
    with pytest.raises(av.error.InvalidDataError) as caught, with_reasons():
        av.open("file:/dev/null", format="mov")
    assert caught.value
    assert av.logging.get_level() is None


def test_threads_take_turns() -> None:
    """The level belongs to the process: the second must neither see the first one's nor restore it."""
    inside, leave, inside_too, leave_too = (threading.Event() for _ in range(4))

    def hold(entered: threading.Event, go: threading.Event) -> None:
        with with_reasons():
            entered.set()
            go.wait(5)

    first = threading.Thread(target=hold, args=(inside, leave))
    second = threading.Thread(target=hold, args=(inside_too, leave_too))
    first.start()
    assert inside.wait(5)
    second.start()
    assert not inside_too.wait(0.1)
    leave.set()
    assert inside_too.wait(5)
    leave_too.set()
    first.join(5)
    second.join(5)
    assert av.logging.get_level() is None
