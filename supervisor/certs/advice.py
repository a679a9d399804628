"""What `camfleet check` says of certificates: all that a start would stumble over, and what cannot be meant so."""

import ipaddress
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
from camfleet.supervisor.config import IdentitySettings, Settings
from camfleet.supervisor.examine import Verdict, examine
from camfleet.supervisor.tls import CertificateError

from .addresses import host_addresses
from .client_authorities import ClientAuthorities
from .files import StoreError
from .purpose import purpose_of
from .store import Store


class Remark(NamedTuple):
    blocks: bool  # with this no server starts; else a warning
    text: str


def remarks(settings: Settings, store: Store) -> Iterator[Remark]:
    if settings.rtsps == "off":
        return
    outside_dates: Verdict = "warning" if settings.tls.expired == "serve" else "block"
    identities = settings.tls.identities
    with ThreadPoolExecutor(os.cpu_count()) as examining:  # each examination is a process
        found = examining.map(lambda identity: list(_pairs(identity, store, outside_dates)), identities)
        for identity, remarks_on_pairs in zip(identities, found, strict=True):
            yield from _place(identity, settings, store)
            yield from remarks_on_pairs
            if identity.client.certificates != "off":
                try:
                    ClientAuthorities(store.folder).get(identity.client.ca)
                except CertificateError as error:
                    yield Remark(True, f"{identity.name}: {error}")


def _place(identity: IdentitySettings, settings: Settings, store: Store) -> Iterator[Remark]:
    """Whether clients can come to it."""
    name, address, client = identity.name, identity.address, identity.client
    if not identity.reachable:
        no_place = "no rtsps_port, server_name or address of its own"
        if store.live(name):
            yield Remark(False, f"{name} has a certificate, but {no_place}: no client can ever be shown it")
        if client.certificates == "required" and client != settings.tls.identities[0].client:
            yield Remark(False, f"{name} requires client certificates, but has {no_place}: no client is asked for one")
    if not address:
        return
    if address not in map(str, host_addresses()):
        yield Remark(False, f"{name}: this host does not have the address {address}")
    version = ipaddress.ip_address(address).version
    if not {address, "0.0.0.0" if version == 4 else "::"} & set(settings.hosts):
        yield Remark(False, f"{name}: nobody listens on {address}; add it to server.host")


def _pairs(identity: IdentitySettings, store: Store, outside_dates: Verdict) -> Iterator[Remark]:
    """Whether what is there can be served. No global pair is no mistake: the first start makes one."""
    try:
        purpose = msgspec.structs.replace(purpose_of(identity, store), outside_dates=outside_dates)
        for files in store.live(identity.name):
            for finding in examine(store.read(files), purpose).findings:
                if finding.verdict != "pass":
                    text = f"{identity.name}: {files.certificate}: {finding.check}: {finding.reason}"
                    yield Remark(finding.verdict == "block", text)
    except StoreError as error:
        yield Remark(True, f"{identity.name}: {error}")
