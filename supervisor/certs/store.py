"""Which pairs there are: the live files of each identity, and its generations, in the folder certs/.

    ssl.ca ssl.key [ssl.alternate.ca ssl.alternate.key]     what the server shows as "global"
    cameras/ipc1/ the same names                            what it shows as ipc1; without ssl.ca there: the global one
    history/global/000001/ the same names, about.json       everything that was ever live, the newest 20
    pending/global.key                                      of a signing request that has not been answered

Rules of the folder. Each is kept at every step, so that a kill at any of them loses nothing:

1. A folder in history/ whose name is a number is whole.
2. What is in a live file is in a generation too before the file is replaced.
3. While live files are replaced, the new generation is called NNNNNN.installing: `recover` completes it. So the server
   starts with the old pair or with the new one, and never with the key of one and the certificate of the other.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec
from camfleet.supervisor.config import GLOBAL
from camfleet.supervisor.examine import Description, Material, Pair

from . import durable
from .files import FILES, NAMES, Contents, LiveFiles, StoreError, contents_of, laid_out, mode, read_file

KEPT_GENERATIONS = 20
LOCK_TIMEOUT_S = 10.0  # others hold it for some milliseconds

Origin = Literal["install", "files", "self-signed", "authority", "rollback"]

_IDENTITY = re.compile(r"[A-Za-z0-9_]{1,32}")
_ABOUT = "about.json"
_WRITING, _INSTALLING, _REMOVING = ".writing", ".installing", ".removing"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """The pairs of an identity at one time."""

    number: int
    installed_unix_s: float
    origin: Origin
    pairs: list[Description]  # the primary one first; empty: files that were found and kept, never examined


class Store:
    """Files only: what is given in has been examined. Every method may block, and raises StoreError."""

    def __init__(self, folder: Path, configured: Mapping[str, Sequence[LiveFiles]] = MappingProxyType({})) -> None:
        """`folder` exists; `configured`: identities whose live files are elsewhere, managed by somebody else."""
        self.folder = folder
        self.configured = configured

    # ------------------------------------------------------------ questions

    def live(self, identity: str) -> list[LiveFiles]:
        """The primary pair, then the one of the other key type; empty: none of its own."""
        if identity in self.configured:
            return list(self.configured[identity])
        folder = self._live_folder(identity)
        files = [LiveFiles(folder / certificate, folder / private_key) for certificate, private_key in NAMES]
        with self._errors():
            if not files[0].certificate.exists():
                return []
            return [each for each in files if each.certificate.exists()]

    def paths(self, identity: str) -> list[Path]:
        """Every file that is live, or would be if it were there."""
        if identity in self.configured:
            return [path for files in self.configured[identity] for path in files]
        return [self._live_folder(identity) / name for name in FILES]

    def read(self, files: LiveFiles) -> Material:
        with self._errors():
            return Material(certificate=read_file(files.certificate), private_key=read_file(files.private_key))

    def history(self, identity: str) -> list[Generation]:
        """The oldest first."""
        with self._errors():
            return [self._about(folder) for folder in self._generations(identity)]

    def pairs(self, identity: str, number: int) -> list[Pair]:
        """Of a generation; empty when it was never examined."""
        with self._errors():
            folder = self._generation(identity, number)
            found = []
            for names, description in zip(NAMES, self._about(folder).pairs, strict=False):
                chain, private_key = (read_file(folder / name) for name in names)
                found.append(Pair(chain=chain, private_key=private_key, description=description))
            return found

    def newest_good(self, identity: str) -> Generation | None:
        """What to start with when the live files cannot be served."""
        return next((each for each in reversed(self.history(identity)) if each.pairs), None)

    def identities(self) -> list[str]:
        """Those with generations, cameras that are gone among them."""
        with self._errors():
            names = (path.name for path in (self.folder / "history").glob("*"))
            return sorted(name for name in names if _IDENTITY.fullmatch(name) and self._generations(name))

    def current(self, identity: str) -> Generation | None:
        """The newest generation, when it is what is live; None: somebody has put other files there, or none."""
        with self._errors():
            newest = self._newest(identity)
            same = newest and contents_of(newest) == self._live_contents(identity)
            return self._about(newest) if newest and same else None

    def previous(self, identity: str) -> Generation | None:
        """The newest generation that is not what is live: the one to go back to."""
        with self._errors():
            live = self._live_contents(identity)
            folders = reversed(self._generations(identity))
            return next((self._about(folder) for folder in folders if contents_of(folder) != live), None)

    def pending(self, identity: str) -> Path:
        """Where the key of an unanswered signing request is."""
        return self.folder / "pending" / f"{_checked(identity)}.key"

    # ------------------------------------------------------------ changes

    def install(self, identity: str, pairs: Sequence[Pair], origin: Origin) -> Generation:
        """Make these the live pairs. What was live is in the history before; an error leaves it live."""
        contents = laid_out(pairs)
        with self._writing(identity):
            self._refuse_foreign_files(identity)
            live = self._live_folder(identity)
            before, newest = contents_of(live), self._newest(identity)
            if newest and before == contents == contents_of(newest):
                return self._about(newest)
            self._keep_unknown(identity, before, contents)
            staged, generation = self._stage(identity, contents, origin, [pair.description for pair in pairs])
            installing = staged.with_suffix(_INSTALLING)
            try:
                durable.rename(staged, installing)
                _switch(live, installing)
            except OSError:
                if contents_of(live) == before:
                    _discard(live, staged if staged.exists() else installing)
                raise
            return generation

    def archive(self, identity: str, pairs: Sequence[Pair], origin: Origin) -> Generation | None:
        """Keep what somebody else has put there and is now served; None: it is the newest generation already."""
        contents = laid_out(pairs)
        with self._writing(identity):
            newest = self._newest(identity)
            if newest and contents == contents_of(newest):
                return None
            return self._file(identity, contents, origin, [pair.description for pair in pairs])

    def rollback(self, identity: str, number: int = 0) -> Generation:
        """Make an earlier generation live, as a new one; 0: the one before, so that a second time undoes the first."""
        if number == 0:
            previous = self.previous(identity)
            if previous is None:
                raise StoreError(f"{identity} has no earlier generation")
            number = previous.number
        pairs = self.pairs(identity, number)
        if not pairs:
            path = self.generation_folder(identity, number)
            raise StoreError(f"generation {number} of {identity} was never examined; install it from {path}")
        return self.install(identity, pairs, "rollback")

    def use_global(self, camera: str) -> None:
        """Remove the camera's own pairs; its history stays."""
        if camera == GLOBAL:
            raise StoreError("the global pair cannot be replaced by itself")
        with self._writing(camera):
            self._refuse_foreign_files(camera)
            live = self._live_folder(camera)
            self._keep_unknown(camera, contents_of(live), {})
            (live / "ssl.ca").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # without ssl.ca the others are not looked at
                for name in FILES:
                    (live / name).unlink(missing_ok=True)
                durable.sync_folder(live)

    def recover(self, identity: str) -> None:
        """Complete what was cut off. Before the live files are read at the start."""
        with self._writing(identity):
            pass

    def generation_folder(self, identity: str, number: int) -> Path:
        return self._history(identity) / f"{number:06}"

    def keep_pending(self, identity: str, make: Callable[[], bytes]) -> bytes:
        """The key of the unanswered request; the one that `make` gives when there is none."""
        path = self.pending(identity)
        with self._writing(identity):
            if not path.exists():
                durable.make_folder(path.parent)
                durable.replace(path, make(), durable.PRIVATE)
            return read_file(path)

    def forget_pending(self, identity: str) -> None:
        """It has been answered, and its key is in a generation."""
        with self._writing(identity):
            self.pending(identity).unlink(missing_ok=True)

    # ------------------------------------------------------------ inside

    def _live_folder(self, identity: str) -> Path:
        return self.folder if identity == GLOBAL else self.folder / "cameras" / _checked(identity)

    def _live_contents(self, identity: str) -> Contents:
        """Wherever they are."""
        if identity not in self.configured:
            return contents_of(self._live_folder(identity))
        contents: Contents = {}
        for (certificate, private_key), files in zip(NAMES, self.configured[identity], strict=False):
            contents |= {certificate: read_file(files.certificate), private_key: read_file(files.private_key)}
        return contents

    def _history(self, identity: str) -> Path:
        return self.folder / "history" / _checked(identity)

    def _generations(self, identity: str) -> list[Path]:
        return sorted(path for path in self._history(identity).glob("*") if path.name.isdecimal())

    def _newest(self, identity: str) -> Path | None:
        return next(reversed(self._generations(identity)), None)

    def _generation(self, identity: str, number: int) -> Path:
        folder = self.generation_folder(identity, number)
        if not folder.is_dir():
            numbers = ", ".join(str(int(path.name)) for path in self._generations(identity)) or "none"
            raise StoreError(f"{identity} has no generation {number}; there are: {numbers}")
        return folder

    def _about(self, folder: Path) -> Generation:
        try:
            return msgspec.json.decode(read_file(folder / _ABOUT), type=Generation)
        except (FileNotFoundError, msgspec.DecodeError):  # somebody has been here
            modified = folder.stat().st_mtime
            return Generation(number=int(folder.name), installed_unix_s=modified, origin="files", pairs=[])

    @contextlib.contextmanager
    def _writing(self, identity: str) -> Iterator[None]:
        """Alone, and after what was cut off has been completed."""
        try:
            with self._locked():
                self._recover(identity)
                yield
                with contextlib.suppress(OSError):  # the next one will do it
                    self._prune(identity)
        except OSError as error:
            halves = any(self._history(identity).glob(f"*{_INSTALLING}"))
            outcome = "the next command or start completes the change" if halves else "nothing was changed"
            raise StoreError(f"{error.filename or self.folder}: {error.strerror or error}; {outcome}") from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.folder / ".lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, durable.PRIVATE)
        try:
            durable.give_to_owner(descriptor, self.folder)
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StoreError(f"{path} is held by another camfleet; nothing was changed") from None
                    time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{error.filename or self.folder}: {error.strerror or error}") from None

    def _refuse_foreign_files(self, identity: str) -> None:
        """A link is somebody's arrangement (certbot, a secrets mount): a rename would end it without a word."""
        if identity in self.configured:
            certificate = self.configured[identity][0].certificate
            raise StoreError(f"{identity} has its certificate from {certificate}, by the configuration")
        for path in (self._live_folder(identity) / name for name in FILES):
            if path.is_symlink():
                raise StoreError(
                    f"{path} is a link to {path.readlink()}: this certificate is managed by somebody else. Nothing "
                    "was changed. Renew it there (a running server sees it), or remove the link first"
                )
            if path.exists() and not path.is_file():
                raise StoreError(f"{path} is not a regular file; nothing was changed")

    def _keep_unknown(self, identity: str, live: Contents, coming: Contents) -> None:
        """Files that were put there by hand while no server ran: no key is lost, even of a pair that is no good."""
        newest = self._newest(identity)
        known = {*coming.values(), *(contents_of(newest).values() if newest else ())}
        if not known.issuperset(live.values()):
            self._file(identity, live, "files", [])

    def _file(self, identity: str, contents: Contents, origin: Origin, pairs: list[Description]) -> Generation:
        """A generation that is not made live."""
        staged, generation = self._stage(identity, contents, origin, pairs)
        durable.rename(staged, staged.with_suffix(""))
        return generation

    def _stage(
        self, identity: str, contents: Contents, origin: Origin, pairs: list[Description]
    ) -> tuple[Path, Generation]:
        """A generation's folder with all its files on the disk, not yet under its name."""
        newest = self._newest(identity)
        number = int(newest.name) + 1 if newest else 1
        about = Generation(number=number, installed_unix_s=time.time(), origin=origin, pairs=pairs)
        folder = self.generation_folder(identity, number).with_suffix(_WRITING)
        try:
            durable.make_folder(folder)
            for name, data in contents.items():
                durable.write(folder / name, data, mode(name))
            durable.write(folder / _ABOUT, msgspec.json.format(msgspec.json.encode(about)), durable.PRIVATE)
            durable.sync_folder(folder)
        except OSError:
            with contextlib.suppress(OSError):
                durable.remove_folder(folder)
            raise
        return folder, about

    def _recover(self, identity: str) -> None:
        live = self._live_folder(identity)
        for folder in sorted(self._history(identity).glob("*.*")):
            if folder.suffix in (_WRITING, _REMOVING):
                durable.remove_folder(folder)
            elif folder.suffix == _INSTALLING:
                newest = self._newest(identity)
                ours = [contents_of(folder), contents_of(newest) if newest else {}]
                if all(data in (each.get(name) for each in ours) for name, data in contents_of(live).items()):
                    _switch(live, folder)
                else:  # somebody has put files of his own there since
                    durable.rename(folder, folder.with_suffix(""))
        for name in FILES:
            (live / f"{name}.new").unlink(missing_ok=True)

    def _prune(self, identity: str) -> None:
        for folder in self._generations(identity)[:-KEPT_GENERATIONS]:
            _remove(folder)


def _checked(identity: str) -> str:
    if not _IDENTITY.fullmatch(identity):
        raise StoreError(f"{identity!r} is no camera's id")
    return identity


def _switch(live: Path, installing: Path) -> None:
    """Make the files of a generation live and give it its name, at whatever step this was cut off before."""
    contents = contents_of(installing)
    durable.make_folder(live)
    for name, data in contents.items():  # a full disk shows here, before anything is replaced
        durable.write(live / f"{name}.new", data, mode(name))
    for name in contents:
        (live / f"{name}.new").rename(live / name)
    for name in reversed([name for name in FILES if name not in contents]):  # a certificate before its key
        (live / name).unlink(missing_ok=True)
    durable.sync_folder(live)
    installing.rename(installing.with_suffix(""))
    with contextlib.suppress(OSError):  # under its old name it would be made live once more
        durable.sync_folder(installing.parent)


def _discard(live: Path, generation: Path) -> None:
    """After an error that has changed nothing; where even this fails, `recover` does it."""
    for name in FILES:
        with contextlib.suppress(OSError):
            (live / f"{name}.new").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _remove(generation)


def _remove(generation: Path) -> None:
    """Never seen with half of its files."""
    leaving = generation.with_suffix(_REMOVING)
    durable.rename(generation, leaving)
    durable.remove_folder(leaving)
