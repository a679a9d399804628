"""The state folder: certs/ (keys), run/ (sockets and locks) and user.json, the user of a server without [[users]]."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from camfleet.core.wire import UserSpec

from . import StartError

# sockaddr_un holds 108 bytes with the closing zero (unix(7)).
MAX_SOCKET_PATH_SIZE = 107
_LONGEST_SOCKET_NAME = "handoff.sock"


def default_state_dir(environ: Mapping[str, str], uid: int) -> Path:
    """/var/lib/camfleet for root, else by the XDG base directory specification."""
    if uid == 0:
        return Path("/var/lib/camfleet")
    home = environ.get("XDG_STATE_HOME", "")
    # "All paths set in these environment variables must be absolute", others are to be ignored.
    base = Path(home) if home.startswith("/") else Path(environ.get("HOME", "~")).expanduser() / ".local" / "state"
    return base / "camfleet"


class StateFolder:
    """Paths of one server's state. Nothing is touched before `prepare`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.certs = self.path / "certs"
        self.run = self.path / "run"
        self.user_file = self.path / "user.json"

    def prepare(self) -> None:
        """Make the folders, private to this user. Raises StartError when that cannot be had."""
        longest = len(os.fsencode(self.run / _LONGEST_SOCKET_NAME))
        if longest > MAX_SOCKET_PATH_SIZE:
            raise StartError(
                f"state folder {self.path}: its socket names would have {longest} bytes, "
                f"Unix allows {MAX_SOCKET_PATH_SIZE}; choose a shorter path with --state-dir"
            )
        for folder in (self.path, self.certs, self.run):
            try:
                folder.mkdir(mode=0o700, parents=folder is self.path, exist_ok=True)
                if folder is not self.path:  # the folder around them may be a shared mount
                    folder.chmod(0o700)
                with tempfile.TemporaryFile(dir=folder):
                    pass  # a read-only file system shows here, not at the first hand-off
            except OSError as error:
                raise StartError(
                    f"state folder {folder}: {error.strerror or error}; choose one with --state-dir"
                ) from None

    def user(self) -> UserSpec | None:
        """The generated user, None before the first run. Raises StartError when the file is damaged."""
        try:
            return msgspec.json.decode(self.user_file.read_bytes(), type=UserSpec)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise StartError(f"{self.user_file}: {error}") from None

    def save_user(self, user: UserSpec) -> None:
        """Replace user.json atomically, mode 0600."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path, prefix=".user-")  # mode 0600
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(user) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.user_file)
        except OSError as error:
            raise StartError(f"{self.user_file}: {error.strerror}") from None
