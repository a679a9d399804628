"""Session descriptions (RFC 8866) of what we send."""

from .describe import describe

__all__ = ["describe"]
