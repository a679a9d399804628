"""Descriptors, and what is said when there are none left."""

import errno
import os

from .base import SourceError


def new_eventfd() -> int:
    """Raises SourceError."""
    try:
        return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    except OSError as error:
        raise SourceError(why_not(error)) from None


def why_not(error: OSError) -> str:
    """What the kernel has refused, in words that say what to do."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "no descriptors left (ulimit -n)"
    return error.strerror or str(error)
