"""What `camfleet serve` says when it is ready: where the pictures are, and once, the password."""

import shlex
import textwrap

from .config import Settings
from .state import StateFolder
from .urls import places, public_host, stream_url

# A screenful; `camfleet status` lists them all.
MAX_CAMERAS = 10


def greeting(settings: Settings, state: StateFolder, *, generated: bool, password: str = "") -> str:
    """Text for the terminal. `generated`: the only user is the state folder's; `password`: the one just made for it."""
    user = settings.users[0].name
    host = public_host(settings)
    lines = []
    for camera in settings.served[:MAX_CAMERAS]:
        lines.append(f"{camera.id}: {camera.name}")
        for stream in camera.streams:
            for place in places(settings, camera.id, host):
                lines.append("  " + stream_url(*place, camera, stream, user, password))
    if len(settings.served) > MAX_CAMERAS:
        lines.append(f"and {len(settings.served) - MAX_CAMERAS} cameras more: camfleet status")
    lines.append("")
    if password:
        lines.append(f"User {user}, password {password} (shown only this once)")
    elif generated:
        lines.append(f"User {user}; its password was shown once.")
    if generated:
        lines.append(f"A new password: camfleet password --state-dir {shlex.quote(str(state.path))}")
    else:
        lines.append(
            f"Users: {textwrap.shorten(', '.join(spec.name for spec in settings.users), 200, placeholder=' ...')}"
        )
    if settings.rtsps != "off":
        files = settings.tls.identities[0].files
        certificate = files[0][0] if files else "ssl.ca"
        lines.append(f"Certificate, for players that verify it: {state.certs / certificate}")
    return "\n".join([f"camfleet is ready; its state is kept in {state.path}", "", *lines, "Ctrl-C ends it."])
