"""The load tool against a camera whose every byte is known: what it says must be what was done."""

import _thread
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from camfleet.bench.load import driver, main, processes, report
from camfleet.bench.load import run as run_module
from camfleet.bench.load.engine import Totals

from tests.kit.fake_camera import SDP, FakeCamera
from tests.kit.tls_client import write_pair
from tests.kit.wait import wait_for
from tests.reference import rtp

FRAMES = 90
KEY = rtp.annex_b([b"\x67\x42\xc0\x1f", b"\x68\xce\x3c\x80", b"\x65" + b"k" * 40_000])
DELTA = rtp.annex_b([b"\x41" + b"d" * 8_000])  # 6 packets


def interleaved(data: bytes) -> list[bytes]:
    """The $ frames, each with its header."""
    out = []
    while data:
        size = 4 + int.from_bytes(data[2:4])
        out.append(data[:size])
        data = data[size:]
    return out


def media(lost_frames: tuple[int, ...] = (), torn_frames: tuple[int, ...] = (), start: int = 65_400) -> bytes:
    """Ninety frames; of the lost ones no packet is sent, of the torn ones the second is not."""
    out, sequence = b"", start
    for number in range(FRAMES):
        data = rtp.packetize(
            DELTA if number % 30 else KEY,
            ssrc=7,
            sequence=sequence,
            payload_type=96,
            channel=0,
            timestamp=(2**32 - 90_000 + number * 3000) % 2**32,
        )
        packets = interleaved(data)
        sequence = (sequence + len(packets)) % 65_536
        if number in torn_frames:
            del packets[1]
        out += b"" if number in lost_frames else b"".join(packets)
    return out


def run(
    capsys: pytest.CaptureFixture[str], *arguments: str, seconds: float = 0.3, packets: int = 0
) -> tuple[int, dict[str, Any]]:
    """Exit status and result. With `packets` the measured window ends when so many have come, not with the time."""
    original = run_module.Progress.sleep_until

    def sleep_until(self: run_module.Progress, deadline_ns: int, settled: bool = False) -> None:
        original(self, deadline_ns if settled else 0, settled)
        if not settled:
            wait_for(lambda: run_module.look(self.drivers).totals.packets >= packets, 20, "packets are missing")

    with pytest.MonkeyPatch.context() as patch:
        if packets:
            patch.setattr(run_module.Progress, "sleep_until", sleep_until)
        status = main([*arguments, "--ramp", "0", "--seconds", str(seconds), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(params=[None, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=["tcp", "tls", "tls12"])
def tls(request: pytest.FixtureRequest, pair: tuple[Path, Path]) -> ssl.SSLContext | None:
    return server_context(pair, request.param) if request.param else None


def server_context(pair: tuple[Path, Path], version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.maximum_version = version
    return context


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_without_fault(capsys: pytest.CaptureFixture[str], tls: ssl.SSLContext | None, seed: int) -> None:
    data = media()
    with FakeCamera(data, tls, password="secret", seed=seed) as camera:
        status, result = run(capsys, camera.url("viewer:secret@"), "--readers", "7", packets=7 * len(rtp.packets(data)))
    assert status == 0
    assert result["readers"] == {"tried": 7, "ok": 7, "failed": 0, "reasons": {}}
    assert set(result["gaps"].values()) == {0}
    assert result["frames"] == 7 * FRAMES
    assert result["key_frames"] == 7 * 3
    assert result["packets"] == 7 * len(rtp.packets(data))
    assert camera.requests.count("DESCRIBE") == 14  # without and with the password
    assert camera.requests.count("TEARDOWN") == 7
    steps = result["steps_ms"]
    assert all(
        steps[step]["p50"] > 0 for step in ("TCP connect", "DESCRIBE", "DESCRIBE with password", "SETUP", "PLAY")
    )
    assert (steps["TLS handshake"] is None) == (tls is None)
    assert 0 < result["first_key_frame_ms"]["p50"] <= result["first_key_frame_ms"]["max"] < 5000


@pytest.mark.parametrize("readers", [1, 5])
def test_faults_are_counted_exactly(
    capsys: pytest.CaptureFixture[str], tls: ssl.SSLContext | None, readers: int
) -> None:
    data = media(lost_frames=(10, 40, 41, 42), torn_frames=(20, 50))
    with FakeCamera(data, tls) as camera:
        packets = readers * len(rtp.packets(data))
        status, result = run(capsys, camera.url(), "--readers", str(readers), packets=packets)
    assert status == 0
    assert result["gaps"] == {
        "sequence_gaps": 4 * readers,
        "packets_missing": (4 * 6 + 2) * readers,
        "frame_gaps": 2 * readers,
        "frames_missing": 4 * readers,
        "frames_incomplete": 2 * readers,
        "malformed": 0,
        "rtp_info_wrong": 0,
    }
    assert result["frames"] == (FRAMES - 6) * readers


@pytest.mark.parametrize(("torn", "failed", "keys"), [((0,), 0, 2), ((0, 30), 0, 1), ((0, 30, 60), 1, 0)])
def test_a_reader_needs_one_complete_key_frame(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    torn: tuple[int, ...],
    failed: int,
    keys: int,
) -> None:
    monkeypatch.setattr(driver, "STEP_TIMEOUT_NS", 2_000_000_000)
    data = media(torn_frames=torn)
    with FakeCamera(data) as camera:
        status, result = run(capsys, camera.url(), "--readers", "1", packets=len(rtp.packets(data)))
    assert (status, result["readers"]["failed"], result["key_frames"]) == (failed, failed, keys)
    assert result["readers"]["reasons"] == ({"no key frame": 1} if failed else {})


def test_measuring_may_begin_before_the_pictures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key frame ever comes, so who waits for one waits for the settling time."""
    monkeypatch.setattr(run_module, "SETTLE_S", 60)
    monkeypatch.setattr(driver, "STEP_TIMEOUT_NS", 60_000_000_000)
    with FakeCamera(media(torn_frames=(0, 30, 60))) as camera:
        begin = time.monotonic()
        status, result = run(capsys, camera.url(), "--readers", "2", "--at-play")
    assert time.monotonic() - begin < 30
    assert (status, result["readers"]["reasons"]) == (1, {"unfinished: playing": 2})
    assert result["key_frames"] == 0


@pytest.mark.parametrize(
    ("sequences", "wrong"), [("seq=65400", 0), ("seq=65401", 1), ("", 0), ("seq=1;rtptime=2,url=x;seq=65400", 0)]
)
def test_rtp_info_promises_the_first_packet(capsys: pytest.CaptureFixture[str], sequences: str, wrong: int) -> None:
    with FakeCamera(media(), rtp_info=f"url=trackID=0;{sequences}") as camera:
        _, result = run(capsys, camera.url(), "--readers", "1")
    assert result["gaps"]["rtp_info_wrong"] == wrong


def test_the_channels_of_the_answer_count(capsys: pytest.CaptureFixture[str]) -> None:
    other = b"$\x00\x00\x03abc" + b"".join(
        b"$\x06" + len(packet).to_bytes(2) + packet for packet in (data[4:] for data in interleaved(media()))
    )
    with FakeCamera(other, channels=(6, 7)) as camera:
        status, result = run(capsys, camera.url(), "--readers", "2", packets=2 * len(rtp.packets(media())))
    assert (status, result["frames"], result["gaps"]["malformed"]) == (0, 2 * FRAMES, 0)


@pytest.mark.parametrize(
    ("camera", "reason"),
    [
        (FakeCamera(refuse={"DESCRIBE": "404 Not Found"}), "DESCRIBE: 404 Not Found"),
        (FakeCamera(refuse={"SETUP": "461 Unsupported Transport"}), "SETUP: 461 Unsupported Transport"),
        (FakeCamera(refuse={"PLAY": "453 Not Enough Bandwidth"}), "PLAY: 453 Not Enough Bandwidth"),
        (FakeCamera(password="another"), "DESCRIBE: 401 Unauthorized"),
        (FakeCamera(close_after="SETUP"), "PLAY: "),
        (FakeCamera(media=media(), close_after="PLAY"), "playing: closed by the server"),
        (FakeCamera(media=b"garbage" * 20_000), "playing: sent neither RTSP nor a $ frame"),
        (FakeCamera(mute="SETUP"), "no answer to SETUP"),
        (FakeCamera(sdp=SDP.replace("H264", "JPEG")), "DESCRIBE: no H.264 or H.265 in the SDP"),
    ],
)
def test_failures_have_their_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, camera: FakeCamera, reason: str
) -> None:
    monkeypatch.setattr(driver, "STEP_TIMEOUT_NS", 1_000_000_000)
    with camera:
        status, result = run(capsys, camera.url("viewer:secret@"), "--readers", "3", seconds=2 if camera.media else 0.1)
    assert status == 1
    readers = result["readers"]
    assert (readers["tried"], readers["ok"], readers["failed"]) == (3, 0, 3)
    assert sum(readers["reasons"].values()) == 3
    if reason != "PLAY: ":  # end of stream or reset: the server does not read the PLAY that is on its way
        assert list(readers["reasons"]) == [reason]
    assert all(text.startswith(reason) for text in readers["reasons"])


@pytest.mark.parametrize(
    ("version", "of_ours", "of_libssl"), [(ssl.TLSVersion.TLSv1_3, 18, 2), (ssl.TLSVersion.TLSv1_2, 0, 20)]
)
def test_libssl_opens_what_every_sixteenth_reader_gets(
    capsys: pytest.CaptureFixture[str],
    pair: tuple[Path, Path],
    version: ssl.TLSVersion,
    of_ours: int,
    of_libssl: int,
) -> None:
    """The two have different words for the same end."""
    context = server_context(pair, version)
    with FakeCamera(media(), context, close_after="PLAY", orderly=False) as camera:
        _, result = run(capsys, camera.url(), "--readers", "20", seconds=2)
    words = {"playing: closed without close_notify": of_ours, "playing: unexpected eof while reading": of_libssl}
    assert result["readers"]["reasons"] == {reason: count for reason, count in words.items() if count}


def test_close_notify_means_the_same_to_both(capsys: pytest.CaptureFixture[str], pair: tuple[Path, Path]) -> None:
    with FakeCamera(media(), server_context(pair), close_after="PLAY") as camera:
        _, result = run(capsys, camera.url(), "--readers", "3", seconds=2)
    assert result["readers"]["reasons"] == {"playing: closed by the server": 3}


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_readers_come_ever_more_slowly(count: int) -> None:
    offsets_s = run_module.slowing(count, 10.0)
    assert offsets_s[0] == 0
    assert len(offsets_s) == count
    steps_s = [after - before for before, after in pairwise([*offsets_s, 10.0])]
    assert steps_s == sorted(steps_s)
    assert sum(offset_s < 10 * (1 - 0.5**0.5) for offset_s in offsets_s) == pytest.approx(count / 2, abs=1)


def test_a_camera_that_falls_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeCamera(media()) as camera:
        _, result = run(capsys, camera.url(), "--readers", "2", seconds=1.5)
    assert 1000 < result["longest_without_frame_ms"]["p50"] <= result["longest_without_frame_ms"]["max"]


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    status, result = run(capsys, f"rtsp://127.0.0.1:{port}/x", "--readers", "2")
    assert (status, result["readers"]["reasons"]) == (1, {"connect: Connection refused": 2})


def test_many_urls_take_turns_over_threads(capsys: pytest.CaptureFixture[str], pair: tuple[Path, Path]) -> None:
    with FakeCamera(media()) as plain, FakeCamera(media(), server_context(pair)) as secure:
        arguments = [plain.url(), secure.url(), "--readers", "7", "--threads", "3"]
        status, result = run(capsys, *arguments, packets=7 * len(rtp.packets(media())))
    assert (status, result["frames"]) == (0, 7 * FRAMES)
    assert (plain.requests.count("PLAY"), secure.requests.count("PLAY")) == (4, 3)


@pytest.mark.parametrize(
    ("host", "listen", "certificate", "reason"),
    [
        ("127.0.0.1", "127.0.0.1", "ours", ""),
        ("localhost", "127.0.0.1", "ours", ""),
        ("127.0.0.1", "127.0.0.1", "another", "connect: self-signed certificate"),
        ("127.0.0.2", "127.0.0.2", "ours", "connect: IP address mismatch"),
        ("localhost", "127.0.0.1", "elsewhere", "connect: hostname mismatch"),
        ("127.0.0.2", "127.0.0.2", "", ""),  # nothing to trust: nothing is checked
    ],
)
def test_verification(
    capsys: pytest.CaptureFixture[str],
    pair: tuple[Path, Path],
    tmp_path: Path,
    host: str,
    listen: str,
    certificate: str,
    reason: str,
) -> None:
    served = write_pair(tmp_path, name="camera.example") if certificate == "elsewhere" else pair
    trusted = write_pair(tmp_path)[0] if certificate == "another" else served[0]
    with FakeCamera(media(), server_context(served), address=listen) as camera:
        arguments = ["--cafile", str(trusted)] if certificate else []
        _, result = run(capsys, camera.url(host=host), "--readers", "1", *arguments)
    assert list(result["readers"]["reasons"]) == ([reason] if reason else [])


def test_costs_of_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    """A child that burns a processor under a name of its own is what --server-pid measures."""
    burn = [sys.executable, "-c", "import os\nos.fork()\nwhile True: pass"]
    with subprocess.Popen(burn) as child, FakeCamera(media()) as camera:
        try:
            before = time.monotonic()
            _, result = run(capsys, camera.url(), "--readers", "4", "--server-pid", str(child.pid), seconds=1)
            elapsed = time.monotonic() - before
        finally:
            for process in reversed(processes.with_descendants({child.pid})):
                os.kill(process.pid, signal.SIGKILL)
    server = result["server"]
    assert server["processes"] == 2
    assert 0 < server["cpu_cores"] <= min(2.2, os.cpu_count() or 1) * elapsed
    for_all = server["cpu_cores"] * 1e6 / 4  # on a busy machine one of the readers may begin after the window
    assert 0.99 * for_all <= server["cpu_us_per_reader_second"] <= 2 * for_all
    assert server["rss_bytes"] > server["pss_bytes"] > 1_000_000


def test_owners_of_a_port_are_found() -> None:
    listener = """import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()"""
    with subprocess.Popen([sys.executable, "-c", listener], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdin
        port = int(child.stdout.readline())
        assert processes.owners({port}) == {child.pid}
        assert processes.owners({port + 1}) & {child.pid} == set()
        child.stdin.close()
    assert processes.is_local("localhost")
    assert not processes.is_local("192.0.2.1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["http://u:secret@127.0.0.1/"], "http://127.0.0.1/: not an rtsp:// or rtsps:// URL"),
        (["rtsp://u:secret@127.0.0.1:99999/"], "rtsp://127.0.0.1:99999/: Port out of range 0-65535"),
        (["rtsp://127.0.0.1/", "--cafile", "/does/not/exist"], "/does/not/exist: no certificates to trust"),
        (["rtsp://host.invalid/"], "host.invalid: "),
        (["rtsp://127.0.0.1:1/", "--state-dir", "/does/not/exist"], "/does/not/exist: no running server"),
        (["rtsp://127.0.0.1:1/", "--server-pid", "4194305"], "there is no process 4194305"),  # over the largest
    ],
)
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main([*arguments, "--readers", "1", "--ramp", "0"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"camfleet bench: {words}")
    assert "secret" not in error


@pytest.mark.parametrize("option", ["--readers=0", "--seconds=0", "--seconds=nan", "--ramp=-1", "--threads=0"])
def test_numbers_that_make_no_sense(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["rtsp://127.0.0.1:1/", option])
    assert exit_.value.code == 2
    assert "positive" in capsys.readouterr().err


def test_a_tool_at_its_limit_says_so() -> None:
    def look(at_s: float, cpu_s: float, wait_s: float, reads: int, full: int) -> report.Look:
        totals = Totals(*[0] * 14)._replace(reads=reads, full_reads=full)
        return report.Look(int(at_s * 1e9), 1, totals, [], [(int(cpu_s * 1e9), int(wait_s * 1e9))])

    first = look(0, 5, 5, 100, 50)
    assert report.bottlenecks(first, look(10, 5 + 8, 5 + 0.5, 200, 52)) == []
    assert report.bottlenecks(first, look(10, 5 + 9.5, 5, 200, 50))[0].startswith("thread 1 used 95% of a processor")
    assert report.bottlenecks(first, look(10, 5 + 1, 5 + 3, 200, 50))[0].startswith("thread 1 waited 30%")
    assert report.bottlenecks(first, look(10, 5 + 1, 5, 200, 70))[0].startswith("20% of the reads")


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1], 0.5, 1), ([1, 2], 0.5, 1), ([3, 1, 2], 0.5, 2), ([*range(100)], 0.99, 98), ([*range(101)], 0.99, 99)],
)
def test_percentile_is_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert report.percentile(values, share) == expected


def test_delays_of_a_histogram() -> None:
    buckets = [0] * 464
    assert report.histogram_spread(buckets) is None
    buckets[7], buckets[20], buckets[31] = 50, 49, 1
    assert report.histogram_spread(buckets) == {"p50": 0.007, "p99": 0.02, "max": 0.031}


def test_text_of_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeCamera(media(lost_frames=(10,))) as camera:
        assert main([camera.url(), "--readers", "2", "--ramp", "0", "--seconds", "0.3"]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 ok, 0 failed" in out
    assert "2 sequence gaps, 12 packets missing, 0 malformed" in out
    assert "2 gaps, 2 missing, 0 incomplete" in out


def test_text_of_what_is_not_known(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody plays, and the memory of another user's processes is not shown to us."""
    monkeypatch.setattr(processes, "PROC", Path("/does/not/exist"))
    with FakeCamera(refuse={"DESCRIBE": "404 Not Found"}) as camera:
        monkeypatch.setattr(run_module, "server_pids", lambda *_: set())
        assert main([camera.url(), "--readers", "1", "--ramp", "0", "--seconds", "0.1"]) == 1
        assert "server            not known" in capsys.readouterr().out
        monkeypatch.setattr(run_module, "server_pids", lambda *_: {1})
        monkeypatch.setattr(processes, "with_descendants", lambda _: [processes.Process(1, 0, 0, 0)])
        assert main([camera.url(), "--readers", "1", "--ramp", "0", "--seconds", "0.1"]) == 1
        out = capsys.readouterr().out
    assert "no reader plays, 0.000 cores in 1 processes" in out
    assert "PSS not readable" in out
    assert "None" not in out


def test_progress_is_shown_on_a_terminal_once_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with FakeCamera(media(lost_frames=(10,))) as camera:
        assert main([camera.url(), "--readers", "2", "--ramp", "0", "--seconds", "2.5"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) in (2, 3)
    assert "readers 2/2  failed 0" in lines[-1]
    assert "gaps RTP 2 frames 2" in lines[-1]


def test_a_measurement_may_be_ended_early(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt_soon(*_: object) -> set[int]:
        threading.Timer(0.3, _thread.interrupt_main).start()
        return set()

    monkeypatch.setattr(run_module, "server_pids", interrupt_soon)
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        with FakeCamera(media()) as camera:
            status, result = run(capsys, camera.url(), "--readers", "2", seconds=60)
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert status == 0
    assert result["seconds"] < 30
    assert camera.requests.count("TEARDOWN") == 2
