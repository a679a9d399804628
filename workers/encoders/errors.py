"""FFmpeg's errors in plain words, one table. The exception's class says nothing (a missing GPU driver is a
PermissionError), so the text that FFmpeg logged decides."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av
import av.error
import av.logging

_NO_SESSION = "the NVIDIA GPU opens no further encoder session"

REASONS = (
    ("Cannot load libcuda", "no NVIDIA driver on this machine (libcuda.so.1 is missing)"),
    ("Could not dynamically load CUDA", "no NVIDIA driver on this machine (libcuda.so.1 is missing)"),
    ("Cannot load libnvidia-encode", "the NVIDIA driver has no encoder library (libnvidia-encode.so.1 is missing)"),
    ("no CUDA-capable device", "no NVIDIA GPU on this machine"),
    ("OpenEncodeSessionEx failed: out of memory", _NO_SESSION),
    ("OpenEncodeSessionEx failed: unsupported device", "this NVIDIA GPU has no encoder"),
    ("No capable devices found", "no NVIDIA GPU here can encode this"),
    ("does not support the required nvenc API version", "the NVIDIA driver is too old for this build of PyAV"),
    ("minimum required Nvidia driver", "the NVIDIA driver is too old for this build of PyAV"),
    ("libamfrt64", "no AMD driver with AMF on this machine (libamfrt64.so.1 is missing)"),
    ("hardware device context (AMF)", "no AMD driver with AMF on this machine (libamfrt64.so.1), or it does not start"),
    (
        "Error creating a MFX session",
        "no Intel GPU, or this build of PyAV lacks VAAPI, which Quick Sync needs",
    ),
    ("No supported child device type", "this build of PyAV lacks VAAPI, which Quick Sync needs"),
    ("No VA display found", "no VAAPI device (/dev/dri/renderD128)"),
    ("Failed to initialise VAAPI", "the VAAPI driver does not start"),
    ("moov atom not found", "the file is truncated, or still being written: it has no index"),
    ("Invalid data found", "it is not a media file, or is damaged"),
    ("Protocol not on whitelist", "it refers to something that is not a local file"),
)

# What may be otherwise a moment later, though nothing of the machine has changed.
TRANSIENT = frozenset({_NO_SESSION})

# What a call into PyAV may raise. UnknownCodecError is a ValueError, an unsupported device a RuntimeError.
PYAV_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError)

_log_level = threading.Lock()  # PyAV has one for the process
# A driver may hang with the lock held; others do without the reasons then. Encoders of cards are opened in turn anyway,
# and the slate that is shown meanwhile has two seconds.
_TURN_TIMEOUT_S = 0.2


class EncoderError(Exception):
    """An encoder cannot be had or has failed; the text is for the operator."""

    shown = "the encoder has failed"  # as of a SourceError


@contextmanager
def with_reasons() -> Iterator[None]:
    """Inside, an error of PyAV carries the line that FFmpeg logged about it; PyAV discards all logging by default."""
    if not _log_level.acquire(timeout=_TURN_TIMEOUT_S):
        yield
        return
    try:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture():
                yield
        finally:
            av.logging.set_level(before)
    finally:
        _log_level.release()


def plain_words(error: Exception) -> str:
    """Why a call of PyAV failed, for somebody who does not know PyAV."""
    text = str(error)
    for pattern, reason in REASONS:
        if pattern in text:
            return reason
    _, _, logged = text.partition("last error log: ")
    said = getattr(error, "strerror", None) or text
    return f"{said}: {logged}" if logged else said
