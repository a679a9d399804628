"""gst-rtsp-server with one shared factory for each camera, as its own examples set it up. For the system's python3.

`gst_server.py FILE.mp4 CAMERAS [CERTIFICATE KEY]` prints its port; the cameras are /0, /1, ... Nothing is tuned but the
interval of the sender reports: the load tool needs one to know how old a frame is.
"""

import importlib
import resource
import sys
from typing import Any

gi = importlib.import_module("gi")
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
Gio, GLib, Gst, GstRtspServer = (
    importlib.import_module(f"gi.repository.{name}") for name in ("Gio", "GLib", "Gst", "GstRtspServer")
)

# From multifilesrc nobody can seek. With filesrc each client that asks to play from 0, as most do, moves the film for
# all of them.
LAUNCH = '( multifilesrc location="{}" ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )'
ROLE = "anonymous"
REPORT_INTERVAL_NS = 500_000_000


def main(path: str, cameras: str, *pair: str) -> None:
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.set_backlog(1024)
    for number in range(int(cameras)):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(LAUNCH.format(path))
        factory.set_shared(True)
        factory.connect("media-configure", lambda _factory, media: media.connect("prepared", report_often))
        if pair:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role(ROLE, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
            permissions.add_permission_for_role(ROLE, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(f"/{number}", factory)
    if pair:
        server.set_auth(open_to_all(*pair))
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def open_to_all(certificate: str, key: str) -> Any:
    """TLS without a password: only an auth object can have a certificate."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(certificate, key))
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    auth.set_default_token(token)
    return auth


def report_often(media: Any) -> None:
    session = media.get_stream(0).get_rtpsession()
    session.set_property("rtcp-min-interval", REPORT_INTERVAL_NS)


main(*sys.argv[1:])
