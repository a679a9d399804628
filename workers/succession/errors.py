"""What can go wrong in a succession; the one that serves goes on."""


class SuccessionError(Exception):
    """The camera does not change hands; the text is for the operator."""


class GoneError(SuccessionError):
    """The other worker has closed: it has given up, or died."""
