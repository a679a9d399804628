"""One identity's files: what is served of them, what has come since, and whether that can be served.

    files as before ............................................... nothing
    other content, the same as the newest generation's ............ served: it was examined when it was installed
    other content ................................................. examined, then served and archived, or refused

A pair that is being replaced by hand is wrong for a moment; only what stays wrong for GRACE_S is called so. Whatever
comes, what was served is served until there is better.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec
from camfleet.core.log import Log
from camfleet.supervisor.config import GLOBAL, IdentitySettings
from camfleet.supervisor.examine import Material, Pair, examine
from camfleet.supervisor.tls import CertificateError, ServerContext, rehearse

from .files import LiveFiles, StoreError
from .provision import ensure_pair
from .purpose import purpose_of
from .store import Store

log = Log("certs")

GRACE_S = 3.0

Signature = tuple[int, ...]


class _Found(NamedTuple):
    files: list[LiveFiles]
    materials: list[Material]
    digest: str


class Served(NamedTuple):
    """A camera without pairs shows those of the global identity."""

    pairs: tuple[Pair, ...] = ()
    generation: int = 0


class Watched:
    """`served`: what is to be served; `problem`: why that is not what the files say now; empty: it is. Reads, examines
    and rehearses in threads."""

    def __init__(self, settings: IdentitySettings, store: Store, examining: asyncio.Semaphore) -> None:
        self.settings = settings
        self.served = Served()
        self.problem = ""
        self.store = store
        self._examining = examining
        self._paths = store.paths(self.name)  # once: a look at hundreds of cameras is to be cheap
        self._signatures: list[Signature] = []
        self._digest = ""  # of the files that are served
        self._refused = "", ""  # digest of the files, and why
        self._wrong_since_s: float | None = None
        self._waiting = False  # for what is wrong to become right, without saying so yet

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def files(self) -> list[LiveFiles]:
        return self.store.live(self.name)

    async def start(self) -> None:
        """With what is there, or else with the newest good generation. Raises CertificateError, StoreError."""
        await asyncio.to_thread(self.store.recover, self.name)
        try:
            await self._update(told=True, patient=False)
        except (CertificateError, StoreError) as error:
            good = await asyncio.to_thread(self.store.newest_good, self.name)
            if good is None:
                raise
            self.served = Served(tuple(self.store.pairs(self.name, good.number)), good.number)
            self._refuse(str(error))

    async def look(self, now_s: float, *, told: bool = False) -> None:
        """Take what has changed. `told`: somebody says that it is complete."""
        signatures = [_signature(path) for path in self._paths]
        if signatures == self._signatures and not told and not self._waiting:
            return
        self._signatures = [] if told else signatures  # []: files may be made now, look at them once more
        patient = not told and (self._wrong_since_s is None or now_s - self._wrong_since_s < GRACE_S)
        try:
            await self._update(told=told, patient=patient)
        except (CertificateError, StoreError) as error:
            if self._wrong_since_s is None:
                self._wrong_since_s = now_s
            self._waiting = patient
            if not patient:
                self._refuse(str(error))
        else:
            if self.problem:
                log.info("certificate_files_good", identity=self.name, generation=self.served.generation)
            self._wrong_since_s, self._waiting, self.problem = None, False, ""

    # ------------------------------------------------------------ inside

    def _refuse(self, reason: str) -> None:
        if reason != self.problem:
            self.problem = reason
            serving = f"generation {self.served.generation}" if self.served.pairs else "the global one"
            log.error("certificate_refused", identity=self.name, reason=reason, serving=serving)

    async def _update(self, *, told: bool, patient: bool) -> None:
        """Raises CertificateError, StoreError: what is there cannot be served."""
        found = await asyncio.to_thread(self._read, make=told)
        if found.digest == self._digest:
            return
        if found.digest == self._refused[0] and not told:
            raise CertificateError(self._refused[1])
        if not found.materials and self.served.pairs and patient:
            raise CertificateError("its certificate is gone")
        try:
            await self._take(found)
        except CertificateError as error:
            self._refused = found.digest, str(error)
            raise

    def _read(self, *, make: bool) -> _Found:
        """`make`: a pair for the global identity, when it has none."""
        files = self.store.live(self.name)
        if not files and self.name == GLOBAL:
            if not make:
                raise CertificateError("its certificate is gone")
            ensure_pair(self.store.folder)
            files = self.store.live(self.name)
        materials = [self.store.read(each) for each in files]
        return _Found(files, materials, hashlib.sha256(msgspec.msgpack.encode(materials)).hexdigest())

    async def _take(self, found: _Found) -> None:
        pairs, generation = await asyncio.to_thread(self._known)
        if not pairs:
            pairs = tuple([await self._examined(*each) for each in zip(found.files, found.materials, strict=True)])
        if pairs:
            await asyncio.to_thread(_prove, pairs)
            generation = generation or await asyncio.to_thread(self._archive, pairs)
        self.served, self._digest = Served(pairs, generation), found.digest

    def _known(self) -> Served:
        """What is live is what was installed last."""
        current = None if self.name in self.store.configured else self.store.current(self.name)
        if current is None or not current.pairs:
            return Served()
        return Served(tuple(self.store.pairs(self.name, current.number)), current.number)

    async def _examined(self, files: LiveFiles, material: Material) -> Pair:
        async with self._examining:
            purpose = await asyncio.to_thread(purpose_of, self.settings, self.store)
            purpose = msgspec.structs.replace(purpose, outside_dates="warning")  # tls.expired decides
            report = await asyncio.to_thread(examine, material, purpose)
        for finding in report.findings:
            if finding.verdict == "warning":
                log.warning("certificate_warning", identity=self.name, check=finding.check, reason=finding.reason)
        if report.pair is None:
            reasons = [each.reason for each in report.findings if each.verdict == "block"]
            raise CertificateError(f"{files.certificate}: {'; '.join(reasons)}")
        return report.pair

    def _archive(self, pairs: tuple[Pair, ...]) -> int:
        try:
            kept = self.store.archive(self.name, pairs, "files")
            return kept.number if kept else self.store.history(self.name)[-1].number
        except StoreError as error:  # a full disk is no reason not to serve it
            log.warning("certificate_not_archived", identity=self.name, reason=str(error))
            return 0


def context_of(pairs: tuple[Pair, ...]) -> list[tuple[bytes, bytes]]:
    return [(pair.chain, pair.private_key) for pair in pairs]


def _prove(pairs: tuple[Pair, ...]) -> None:
    """Raises CertificateError."""
    rehearse(ServerContext(context_of(pairs)))


def _signature(path: Path) -> Signature:
    """Another one whenever the file has changed: nobody can set ctime back. Empty: there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino
