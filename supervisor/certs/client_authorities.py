"""The files of those who sign client certificates, as they were when they were last good."""

from collections.abc import Iterable
from pathlib import Path

from camfleet.core.log import Log
from camfleet.supervisor.tls import CertificateError, load_authorities

log = Log("certs")


class ClientAuthorities:
    """PEM by path. Blocks; the files are small and local."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # where relative paths start
        self._known: dict[Path, bytes] = {}
        self._problems: dict[Path, str] = {}

    def get(self, path: Path) -> bytes:
        """As last seen. Raises CertificateError when it has never been good."""
        if path not in self._known:
            self._known[path] = self._read(path)
        return self._known[path]

    def look(self, paths: Iterable[Path]) -> None:
        """Take what has changed; what is no good changes nothing, and is said once."""
        problems = {}
        for path in paths:
            try:
                self._known[path] = self._read(path)
            except CertificateError as error:
                problems[path] = str(error)
                if self._problems.get(path) != str(error):
                    log.error("client_ca_refused", reason=str(error))
        self._problems = problems

    def _read(self, path: Path) -> bytes:
        file = self._folder / path
        try:
            data = file.read_bytes()
            if data != self._known.get(path):
                load_authorities(data)
        except OSError as error:
            raise CertificateError(f"client_ca: {file}: {error.strerror}") from None
        except CertificateError as error:
            raise CertificateError(f"client_ca: {file}: {error}") from None
        return data
