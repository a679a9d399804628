"""What one camera and its readers cost: `make bench-camera` writes bench/results/one-camera.md.

A server of its own, a 1080p30 clip of 4 Mb/s passed through, `camfleet bench` as the client, both on this machine.
"""

import json
import os
import platform
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import clip
from .servers import PASSWORD, USER, film_camera, free_port, serving, status

RESULT = Path("bench/results/one-camera.md")
SECONDS = 10
READERS = (1, 50, 200, 400, 800)
IDLE_CAMERAS = 50
HEAD = """# One camera

Written by `make bench-camera`. A 1080p30 file of 4 Mb/s, passed through; server and load tool share the machine. Times
are p50 / p99: from TCP connect to the last byte of the first complete key frame, and from capture to arrival. CPU is
what the server spends for a reader in a second, all its processes together, user and system time.
"""


@contextmanager
def server(folder: Path, cameras: int) -> Iterator[tuple[int, int]]:
    """A running one; (plain port, TLS port)."""
    ports = free_port(), free_port()
    every = "".join(film_camera(number, folder / "clip.mp4") for number in range(1, cameras + 1))
    with serving(folder, every, ports):
        yield ports


def load(url: str, readers: int, state: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "camfleet.supervisor", "bench", url, "--json", "--readers", str(readers)]
    command += ["--seconds", str(SECONDS), "--state-dir", str(state), *options]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return dict(json.loads(answer.stdout))


def hand_over_ms(port: int, count: int = 200) -> list[float]:
    """The first request after the handshake, which moves the connection, less the same request again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = f"OPTIONS rtsps://127.0.0.1:{port}/ipc1-stream1/filelive RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode()
    found = []
    for _ in range(count):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port))) as sock:
            times = []
            for _ in range(2):
                began = time.perf_counter()
                sock.sendall(request)
                sock.recv(4096)
                times.append(time.perf_counter() - began)
            found.append((times[0] - times[1]) * 1000)
    return sorted(found)


def row(kind: str, readers: int, figures: dict[str, Any]) -> str:
    """One line of the table; a run in which the load tool was the bottleneck says so."""
    first, delay, gaps = figures["first_key_frame_ms"], figures["delay_ms"], figures["gaps"]
    cells = (
        kind,
        f"{figures['readers']['ok']} of {readers}",
        f"{figures['megabits_per_s']:,.0f}",
        f"{gaps['sequence_gaps']} / {gaps['frames_incomplete']}",
        f"{first['p50']:.0f} / {first['p99']:.0f}",
        f"{delay['p50']:.1f} / {delay['p99']:.1f}",
        f"{figures['server']['cpu_us_per_reader_second']:,.0f}",
        "; ".join(figures["load_tool"]["bottlenecks"]) or "no",
    )
    return "| " + " | ".join(cells) + " |"


def table(folder: Path) -> Iterator[str]:
    yield "| | readers | Mb/s | RTP gaps / cut frames | first key frame, ms | delay, ms | CPU us | tool the limit? |"
    yield "|---|---|---|---|---|---|---|---|"
    with server(folder, 1) as ports:
        for readers in READERS:
            for kind, scheme, port in (("RTSP", "rtsp", ports[0]), ("RTSPS", "rtsps", ports[1])):
                url = f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}/ipc1-stream1/filelive"
                figures = load(url, readers, folder / "state", "--ramp", str(max(1, readers / 100)))
                print(line := row(kind, readers, figures), file=sys.stderr)
                yield line


def single_figures(folder: Path) -> Iterator[str]:
    with server(folder, 1) as (_, secure):
        moved = hand_over_ms(secure)
        p99 = moved[len(moved) * 99 // 100]
        p50 = statistics.median(moved)
        yield f"- Hand-over of a TLS session beyond the handshake: p50 {p50:.2f} ms, p99 {p99:.2f} ms"
        url = f"rtsps://{USER}:{PASSWORD}@127.0.0.1:{secure}/ipc1-stream1/filelive"
        joined = load(url, 50, folder / "state", "--ramp", "0")["first_key_frame_ms"]
        yield f"- 50 RTSPS readers at the same moment, TCP connect to first key frame: p99 {joined['p99']:.0f} ms"
    with server(folder, IDLE_CAMERAS):
        pss = [each["worker_pss_bytes"] for each in status(folder / "state")["cameras"]]
        yield f"- An idle worker, one of {IDLE_CAMERAS}: {statistics.median(pss) / 1e6:.1f} MB PSS"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip.make(folder / "clip.mp4")
        lines = [*table(folder), "", *single_figures(folder)]
    about = (
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(f"{HEAD}\nMeasured {time.strftime('%Y-%m-%d')} on {about}.\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
