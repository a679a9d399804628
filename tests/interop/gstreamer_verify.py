"""Plays a URL with rtspsrc that trusts one certificate file, and says how it ended. For the system's Python (GObject).

usage: gstreamer_verify.py URL AUTHORITY.pem FRAMES
"""

import importlib
import sys

importlib.import_module("gi").require_version("Gst", "1.0")
Gio = importlib.import_module("gi.repository.Gio")
Gst = importlib.import_module("gi.repository.Gst")

TIMEOUT_S = 20


def main(url: str, authority: str, frames: str) -> int:
    Gst.init(None)
    pipeline = Gst.parse_launch(
        "rtspsrc name=source protocols=tcp ! rtph264depay ! h264parse ! avdec_h264 "
        f"! fakesink sync=false num-buffers={frames}"
    )
    source = pipeline.get_by_name("source")
    source.set_property("location", url)
    source.set_property("tls-database", Gio.TlsFileDatabase.new(authority))
    pipeline.set_state(Gst.State.PLAYING)
    ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(TIMEOUT_S * Gst.SECOND, ends)
    pipeline.set_state(Gst.State.NULL)
    if message is None:
        print("no end within", TIMEOUT_S, "s")
        return 2
    if message.type == Gst.MessageType.ERROR:
        error, detail = message.parse_error()
        print(error.message, detail)
        return 1
    print("played")
    return 0


sys.exit(main(*sys.argv[1:]))
