"""Passwords of a configuration: in clear, or as the only line of a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta

from .section import Check, Complaint
from .sources import Source

Password = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,256}\Z",
        description="The password in clear.",
        extra={"allowed": "1 to 256 characters without control characters", "secret": True},
    ),
]
PasswordFile = Annotated[
    str,
    Meta(
        min_length=1,
        description="A file whose only line is the password; a relative path starts at the configuration file.",
        extra={"allowed": "a path"},
    ),
]


def read_password_file(path: Path) -> str:
    """The first and only line of a password file. Raises ValueError with the reason."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise ValueError(f"{path}: is empty")
    if len(password) > 256 or not password.isprintable():
        raise ValueError(f"{path}: is not one line of at most 256 printable characters")
    return password


def holds_password(folder: Path, path: str) -> Iterator[Complaint]:
    """The check of a key of that name."""
    if path:
        try:
            read_password_file(folder / path)
        except ValueError as error:
            yield Complaint("password_file", str(error), "a readable file with the password as its only line")


def _one_password(_: Path, password: str, password_file: str) -> Iterator[Complaint]:
    if password and password_file:
        yield Complaint("password_file", "and password are both there", "one of them")


class Login(Source, frozen=True, kw_only=True):
    """Base of the kinds with a user."""

    user: str = ""
    password: Password = ""
    password_file: PasswordFile = ""

    checks: ClassVar[tuple[Check, ...]] = (
        Check(("password", "password_file"), _one_password),
        Check(("password_file",), holds_password),
    )

    @property
    def secret_file(self) -> str:
        return self.password_file

    def secret(self, folder: Path) -> str:
        """The password; empty: there is none."""
        return read_password_file(folder / self.password_file) if self.password_file else self.password
