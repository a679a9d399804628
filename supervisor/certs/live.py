"""The certificates of the running server, kept in step with the configuration, the files and the clock.

    settings, files, time -> Watched (one per identity) -> contexts (one per pairs and policy) -> Directory

What changes is made whole beside what is served, rehearsed, and takes its place in one assignment: handshakes that have
begun end as they began, listeners and sessions notice nothing.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from camfleet.core.log import Log
from camfleet.core.wire.control import TLSInfo
from camfleet.supervisor.config import GLOBAL, IdentitySettings, TLSSettings
from camfleet.supervisor.examine import Pair
from camfleet.supervisor.status import CertificateStatus
from camfleet.supervisor.tls import CertificateError, Directory, Entry, Policy, ServerContext, rehearse

from .authority import RENEWAL_INTERVAL_S, Authority
from .client_authorities import ClientAuthorities
from .expiry import Expiry, days_left, is_over, warning
from .files import StoreError, configured_files
from .provision import renew
from .store import Store
from .watch import Served, Watched, context_of

log = Log("certs")

EXAMINATIONS = 2  # at once; each is a process that may take five seconds of a core

_Key = tuple[str, int, tuple[Pair, ...], Policy]


@dataclass(frozen=True)
class Arrangement:
    """Everything that follows from one configuration, and from the files as they are now."""

    settings: TLSSettings | None = None  # None: no TLS
    watched: Mapping[str, Watched] = field(default_factory=dict)
    contexts: Mapping[_Key, ServerContext] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)  # by identity
    served: Mapping[str, Served] = field(default_factory=dict)  # by identity
    directory: Directory | None = None


class LiveCertificates:
    """`prepare` and `commit` for a configuration, `look` every second. `now_s`: Unix time."""

    def __init__(self, folder: Path) -> None:
        """`folder`: certs/ in the state folder."""
        self._folder = folder
        self._now = Arrangement()
        self._client_authorities = ClientAuthorities(folder)
        self._examining = asyncio.Semaphore(EXAMINATIONS)
        self._expiry = Expiry()
        self._renewal_due_s = 0.0

    @property
    def directory(self) -> Directory | None:
        return self._now.directory

    def policy(self, identity: str) -> Policy:
        """What is asked of the clients of a camera."""
        return self._now.policies.get(identity, Policy())

    async def prepare(self, settings: TLSSettings | None, now_s: float) -> Arrangement:
        """All that `settings` need; nothing is served differently before `commit`, but for files that have changed.

        Raises CertificateError, StoreError: an identity that is new here has nothing that can be served.
        """
        if settings is None:
            return Arrangement()
        store = Store(self._folder, configured_files(settings.identities, self._folder))
        watched = {}
        fresh = []
        for identity in settings.identities:
            known = self._now.watched.get(identity.name)
            if known is None or known.settings.files != identity.files:
                known = Watched(identity, store, self._examining)
                fresh.append(known)
            watched[identity.name] = known
        await self._renew(watched, now_s)
        await asyncio.gather(*(each.look(now_s, told=True) for each in watched.values() if each not in fresh))
        await asyncio.gather(*(each.start() for each in fresh))
        return await asyncio.to_thread(self._arrange, settings, watched, now_s)

    def commit(self, arrangement: Arrangement) -> None:
        if arrangement.settings is not None:
            for identity in arrangement.settings.identities:
                arrangement.watched[identity.name].settings = identity
        self._swap(arrangement)

    async def look(self, now_s: float) -> None:
        """Take what has changed in the files, and what the time changes."""
        settings, watched = self._now.settings, self._now.watched
        if settings is None:
            return
        await self._renew(watched, now_s)
        asking = [identity.client for identity in settings.identities if identity.client.certificates != "off"]
        self._client_authorities.look({client.ca for client in asking})
        async with asyncio.TaskGroup() as group:
            looking = {group.create_task(_look(each, now_s)) for each in watched.values()}
            while looking:  # what is good goes live while others are still examined
                _, looking = await asyncio.wait(looking, return_when=asyncio.FIRST_COMPLETED)
                try:
                    self._swap(await asyncio.to_thread(self._arrange, settings, watched, now_s))
                except CertificateError as error:
                    log.error("certificates_unchanged", reason=str(error))
        served = self._now.served
        self._expiry.look(((name, pair.description) for name in served for pair in served[name].pairs), now_s)

    def status(self, sessions: Iterable[TLSInfo], now_s: float) -> list[CertificateStatus]:
        """One for each certificate."""
        shown = [(session.certificate, session.certificate_fingerprint) for session in sessions]
        rows = []
        for name, served in self._now.served.items():
            watched, current = self._now.watched[name], set(_fingerprints(served))
            older = sum(identity == name and fingerprint not in current for identity, fingerprint in shown)
            rows += [_status(watched, served, index, older, now_s) for index in range(len(served.pairs))]
            if watched.problem and not served.pairs:  # a camera that shows the global one instead
                state = f"refused: {watched.problem}"
                rows.append(CertificateStatus(identity=name, state=state, problem=watched.problem))
        return rows

    # ------------------------------------------------------------ inside

    def _swap(self, arrangement: Arrangement) -> None:
        """From here on every handshake is with what is new."""
        before, self._now = self._now, arrangement
        for name, served in arrangement.served.items():
            if served != before.served.get(name, Served()):
                shown = " ".join(_fingerprints(served)) or "those of global"
                log.info("certificate_live", identity=name, generation=served.generation, fingerprints=shown)

    async def _renew(self, watched: Mapping[str, Watched], now_s: float) -> None:
        """Certificates of the own authority, at two thirds of their lifetime. Looked after from time to time."""
        authority = Authority(self._folder)
        if now_s < self._renewal_due_s or not authority.exists:
            return
        self._renewal_due_s = now_s + RENEWAL_INTERVAL_S
        now = datetime.fromtimestamp(now_s, UTC)
        for name, each in watched.items():
            if name in each.store.configured:
                continue
            try:
                made = await asyncio.to_thread(renew, each.store, authority, name, now)
            except StoreError as error:
                log.error("certificate_not_renewed", identity=name, reason=str(error))
            else:
                if made is not None:
                    log.info("certificate_renewed", identity=name, generation=made.number)

    def _arrange(self, settings: TLSSettings, watched: Mapping[str, Watched], now_s: float) -> Arrangement:
        """Contexts of before are used again where nothing has changed, with their tickets. Raises CertificateError."""
        contexts: dict[_Key, ServerContext] = {}
        served = {name: each.served for name, each in watched.items()}
        policies = {identity.name: self._policy(settings, identity) for identity in settings.identities}
        entries = []
        for identity in settings.identities:
            if identity.reachable:
                name = identity.name if served[identity.name].pairs else GLOBAL
                pairs, generation = served[name]
                key = name, generation, _valid(pairs, now_s), policies[identity.name]
                if key not in contexts:
                    contexts[key] = self._now.contexts.get(key) or _made(key)
                over = all(is_over(pair.description, now_s) for pair in key[2])
                contexts[key].expired = over and settings.expired == "refuse"
                entries.append(Entry(contexts[key], identity.rtsps_port, identity.server_name, identity.address))
        return Arrangement(settings, watched, contexts, policies, served, Directory(entries[0].context, entries[1:]))

    def _policy(self, settings: TLSSettings, identity: IdentitySettings) -> Policy:
        strict, client = settings.profile == "strict", identity.client
        if client.certificates == "off":
            return Policy(strict=strict)
        authority = self._client_authorities.get(client.ca)
        return Policy(
            strict=strict, client_certificates=client.certificates, client_ca=authority, client_user=client.user
        )


async def _look(watched: Watched, now_s: float) -> None:
    try:
        await watched.look(now_s)
    except Exception:  # a mistake of ours; the other identities go on
        log.exception("certificate_look_failed", identity=watched.name)


def _made(key: _Key) -> ServerContext:
    name, generation, pairs, policy = key
    context = ServerContext(context_of(pairs), policy, identity=name, generation=generation)
    rehearse(context)
    return context


def _valid(pairs: tuple[Pair, ...], now_s: float) -> tuple[Pair, ...]:
    """Beside a good certificate one that has expired is not shown to anybody."""
    return tuple(pair for pair in pairs if not is_over(pair.description, now_s)) or pairs


def _fingerprints(served: Served) -> list[str]:
    return [pair.description.fingerprint for pair in served.pairs]


def _status(watched: Watched, served: Served, index: int, older: int, now_s: float) -> CertificateStatus:
    description = served.pairs[index].description
    state = "live"
    if watched.problem:
        state = f"refused: {watched.problem}"
    elif is_over(description, now_s):
        state = "expired"
    return CertificateStatus(
        identity=watched.name,
        generation=served.generation,
        subject=description.subject,
        issuer=description.issuer,
        names=list(description.names),
        not_after_unix_s=description.not_after_unix_s,
        days_left=days_left(description, now_s),
        fingerprint=description.fingerprint,
        key=description.key,
        files=[str(path) for files in watched.files[index : index + 1] for path in files],
        state=state,
        warning=warning(description, now_s),
        sessions_on_older=older,
        problem=watched.problem,
    )
