"""`source = { kind = "publish" }`: what clients push, and who may."""

from pathlib import Path
from typing import Annotated

from camfleet.core import wire
from camfleet.supervisor.credentials import GENERATED_USER, user_spec
from msgspec import Meta

from .passwords import Login


class Publish(Login, tag="publish", frozen=True, kw_only=True):
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

    @property
    def has_password(self) -> bool:
        return bool(self.password or self.password_file)

    def publisher(self, folder: Path) -> wire.UserSpec | None:
        """The user who is only this; None: it is one of all users."""
        password = self.secret(folder)
        return user_spec(self.user, password, watches=False) if password else None

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
