"""The server's own certificate: made at the first start, found again at every other."""

from .addresses import host_addresses, host_names
from .self_signed import ensure_pair, issue

__all__ = ["ensure_pair", "host_addresses", "host_names", "issue"]
