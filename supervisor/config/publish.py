"""`source = { kind = "publish" }`: what clients push, and who may."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from camfleet.core import wire
from camfleet.supervisor.credentials import GENERATED_USER, user_spec
from msgspec import Meta

from .files import holds_password, read_password_file
from .section import Check, Complaint
from .sources import Source


def _one_password(_: Path, password: str, password_file: str) -> Iterator[Complaint]:
    if password and password_file:
        yield Complaint("password_file", "and password are both there", "one of them")


class Publish(Source, tag="publish", frozen=True, kw_only=True):
    """What a client pushes with ANNOUNCE and RECORD, as FFmpeg and GStreamer do. H.264 and H.265 are passed through
    unless the stream has `video` settings. See [sources](sources.md#publish)."""

    user: Annotated[
        str,
        Meta(
            pattern=r'^[^\x00-\x1f\x7f-\x9f:"\\]{1,64}\Z',
            description="Who alone may publish. With a password here: he does nothing else, and is no other camera's "
            "user. Without: one of `[[users]]`, who may watch too.",
            extra={"allowed": 'up to 64 characters without control characters, ":", "\\" and \'"\''},
        ),
    ]
    password: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,256}\Z",
            description="The password in clear.",
            extra={"allowed": "up to 256 characters without control characters", "secret": True},
        ),
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="A file whose only line is the password; a relative path starts at the configuration file.",
            extra={"allowed": "a path"},
        ),
    ] = ""

    checks: ClassVar = (
        Check(("password", "password_file"), _one_password),
        Check(("password_file",), holds_password),
    )

    @property
    def secret_file(self) -> str:
        return self.password_file

    @property
    def has_password(self) -> bool:
        return bool(self.password or self.password_file)

    def publisher(self, folder: Path) -> wire.UserSpec | None:
        """The user who is only this; None: it is one of all users."""
        if not self.has_password:
            return None
        password = self.password or read_password_file(folder / self.password_file)
        return user_spec(self.user, password, watches=False)

    def spec(self, _folder: Path) -> wire.Source:
        return wire.Publish(user=self.user)


def wrong_publisher(source: Publish, users: frozenset[str]) -> tuple[str, str] | None:
    """What is wrong with its user beside `users`, and what is allowed."""
    if source.has_password and source.user in users:
        return (
            f'"{source.user}" is one of [[users]], with a password there',
            "the same without a password, or another name",
        )
    if not source.has_password and source.user not in (users or {GENERATED_USER}):
        return f'"{source.user}" has no password and is none of [[users]]', "a password or password_file beside it"
    return None
