"""The server's processes as /proc shows them: which they are, what they cost. Linux, proc(5)."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE_SIZE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True)
class Process:
    """One process at one moment; (pid, start) is unique while the host runs."""

    pid: int
    parent: int
    start: int
    cpu_us: int  # user and system, of all its threads


def pids() -> list[int]:
    """All processes but this one."""
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and int(entry.name) != os.getpid()]


def cpu_clock(pid: int) -> int:
    """The clock of a process's time on processors, in nanoseconds where /proc counts ticks of 10 ms. The number is what
    clock_getcpuclockid(3) makes of the pid."""
    return ~pid << 3 | 2


def read(pid: int) -> Process | None:
    """None when it is gone."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        cpu_ns = time.clock_gettime_ns(cpu_clock(pid))
    except OSError:
        return None
    return Process(pid, int(fields[1]), int(fields[19]), cpu_ns // 1000)


def with_descendants(roots: Iterable[int]) -> list[Process]:
    """The processes `roots` and all below them, without this one."""
    every = [process for pid in pids() if (process := read(pid))]
    wanted = set(roots)
    while more := {process.pid for process in every if process.parent in wanted} - wanted:
        wanted |= more
    return [process for process in every if process.pid in wanted]


def memory(pid: int) -> tuple[int, int]:
    """(PSS, RSS) in bytes; PSS is 0 where the kernel does not let us look: a camfleet process shows it to root only."""
    pss = rss = 0
    try:
        rss = int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_SIZE
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                pss = int(line.split()[1]) * 1024
    except OSError:
        pass
    return pss, rss


def is_local(host: str) -> bool:
    """An address of this host: one can bind to it."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
        try:
            with socket.socket(family, kind, protocol) as sock:
                sock.bind(address)
        except OSError:
            return False
    return True


def owners(ports: set[int]) -> set[int]:
    """Pids that hold a TCP socket with one of these local ports: the listener, and whoever adopted its connections."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        for line in (PROC / "net" / name).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) in ports and fields[9] != "0":
                inodes.add(f"socket:[{fields[9]}]")
    found = set()
    for pid in pids():
        try:
            if any(str(descriptor.readlink()) in inodes for descriptor in (PROC / str(pid) / "fd").iterdir()):
                found.add(pid)
        except OSError:  # gone, or another user's
            continue
    return found


def of_state_folder(folder: str) -> set[int]:
    """Supervisor and workers as `camfleet status` names them. Raises ValueError when it does not answer."""
    command = [sys.executable, "-m", "camfleet.supervisor", "status", "--json", "--state-dir", folder]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    try:
        status = json.loads(result.stdout)
        pids = [status["supervisor"]["pid"], *(camera["worker_pid"] for camera in status["cameras"])]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{folder}: no running server ({result.stderr.strip()})") from None
    return {pid for pid in pids if pid}


@dataclass(frozen=True)
class Cost:
    """What the server used between two looks."""

    processes: int
    cpu_us: int
    pss: int | None  # None: at least one of them does not show it
    rss: int


class ServerWatch:
    """Takes a first look when it is made; `cost` takes the second."""

    def __init__(self, roots: set[int]) -> None:
        self.roots = roots
        self._before = {(process.pid, process.start): process.cpu_us for process in with_descendants(roots)}

    def cost(self) -> Cost:
        """A process that began meanwhile counts in full, one that ended is lost with what it used."""
        now = with_descendants(self.roots | {pid for pid, _ in self._before})
        cpu_us = sum(process.cpu_us - self._before.get((process.pid, process.start), 0) for process in now)
        sizes = [memory(process.pid) for process in now]
        pss = sum(pss for pss, _ in sizes) if all(pss for pss, _ in sizes) else None
        return Cost(len(now), cpu_us, pss, sum(rss for _, rss in sizes))
