"""Certificates and keys: which there are (store), how they are made (issue, authority, provision)."""

from .addresses import host_addresses, host_names
from .authority import Authority
from .files import LiveFiles, StoreError
from .provision import ensure_pair, renew
from .store import Generation, Store

__all__ = [
    "Authority",
    "Generation",
    "LiveFiles",
    "Store",
    "StoreError",
    "ensure_pair",
    "host_addresses",
    "host_names",
    "renew",
]
