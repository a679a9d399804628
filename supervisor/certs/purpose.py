"""What a certificate must be good for: how clients call this server, or the camera that shows it."""

import contextlib

from camfleet.supervisor.config import IdentitySettings
from camfleet.supervisor.examine import Purpose

from .addresses import host_addresses, host_names
from .authority import Authority
from .files import StoreError
from .store import Store


def purpose_of(identity: IdentitySettings, store: Store) -> Purpose:
    """Asks the resolver for the host's names. Raises StoreError."""
    return Purpose(
        identity=identity.name,
        names=tuple(host_names()),
        addresses=(identity.address,) if identity.address else tuple(map(str, host_addresses())),
        server_name=identity.server_name,
        own_authority=_own_authority(store),
        other_keys=_keys_in_use(store, except_for=identity.name),
    )


def _own_authority(store: Store) -> bytes:
    """PEM; empty: there is none that could be read."""
    with contextlib.suppress(StoreError):
        return Authority(store.folder).root_pem
    return b""


def _keys_in_use(store: Store, *, except_for: str) -> dict[str, str]:
    """By the newest generation of each identity that has files of its own."""
    return {
        description.key_fingerprint: identity
        for identity in store.identities()
        if identity != except_for and store.live(identity)
        for description in next((each.pairs for each in reversed(store.history(identity)) if each.pairs), [])
    }
