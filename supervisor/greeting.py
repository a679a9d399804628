"""What `camfleet serve` says when it is ready: where the pictures are, and once, the password."""

import textwrap

from .config import Settings
from .state import StateFolder
from .urls import public_host, schemes, stream_url

# A screenful; `camfleet status` lists them all.
MAX_CAMERAS = 10


def greeting(settings: Settings, state: StateFolder, password: str = "") -> str:
    """Text for the terminal. `password`: the one just made for the only user."""
    user = settings.users[0].name
    host = public_host(settings)
    lines = []
    for camera in settings.cameras[:MAX_CAMERAS]:
        lines.append(f"{camera.id}: {camera.name}")
        for stream in camera.streams:
            for scheme, port in schemes(settings):
                lines.append("  " + stream_url(scheme, host, port, camera, stream, user, password))
    if len(settings.cameras) > MAX_CAMERAS:
        lines.append(f"and {len(settings.cameras) - MAX_CAMERAS} cameras more: camfleet status")
    if password:
        note = f"User {user}, password {password}\nThe password is shown only this once. A new one: camfleet password"
    elif settings.file is None:
        note = f"User {user}, with the password shown at the first start. A new one: camfleet password"
    else:
        note = f"Users: {textwrap.shorten(', '.join(spec.name for spec in settings.users), 200, placeholder=' ...')}"
    return "\n".join([f"camfleet is ready; its state is kept in {state.path}", "", *lines, "", note, "Ctrl-C ends it."])
