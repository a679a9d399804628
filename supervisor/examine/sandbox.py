"""Examine in a child process that can do nothing but compute, and that only for a while.

    stdin   one Order, MessagePack                    a memfd: the child reads it whole before its limits begin
    stdout  one Report, MessagePack, <= MAX_REPORT_SIZE    a memfd of which no more than that is read
    exit    0 a report, EXIT_MEMORY, else a failure; death by SIGXCPU: the processor time is used up

Limits: processor time 5 s, address space 512 MB, no new descriptor (no file, no socket), no core dump, 5.5 s in all.
"""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from .report import MAX_MATERIAL_SIZE, Finding, Material, Purpose, Report

CPU_S = 5
WALL_S = 5.5  # so that the answer is there within 6 s on a busy machine too
MEMORY_BYTES = 512 * 1024 * 1024
MAX_REPORT_SIZE = 8 * 1024 * 1024
EXIT_MEMORY = 3

# -I: nothing of the working directory, the environment or the user's own modules is imported.
COMMAND = [sys.executable, "-I", "-m", "camfleet.supervisor.examine"]
_ENVIRONMENT = ("LD_LIBRARY_PATH", "OPENSSL_CONF", "OPENSSL_MODULES")  # without these the library may not start

# Debian, Fedora, SUSE and Alpine; what this Python's own library was built with comes first.
_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
           "/etc/ssl/cert.pem")  # fmt: skip
_MAX_STORE_SIZE = 4 * 1024 * 1024


class Order(msgspec.Struct, frozen=True):
    material: Material
    purpose: Purpose
    trusted: bytes  # PEM: the authorities of the purpose, else this system's and our own


def examine(material: Material, purpose: Purpose) -> Report:
    """Blocks for up to 6 s. Whatever the material is, the answer is a report."""
    size = len(material.certificate) + len(material.private_key) + len(material.password)
    if size > MAX_MATERIAL_SIZE:
        return _blocked(
            "size",
            f"{size:,} bytes; more than {MAX_MATERIAL_SIZE:,} are not looked at: "
            "give one certificate, its intermediates and its key",
        )
    order = Order(material, purpose, purpose.trusted or system_store() + purpose.own_authority)
    try:
        return _run(msgspec.msgpack.encode(order))
    except OSError as error:
        return _blocked("examination", f"it could not be started: {error.strerror or error}")


async def examine_async(material: Material, purpose: Purpose) -> Report:
    """The same for an event loop."""
    return await asyncio.to_thread(examine, material, purpose)


def system_store() -> bytes:
    """PEM of the authorities that this system trusts; empty: it has no such file."""
    for path in (ssl.get_default_verify_paths().cafile, *_STORES):
        try:
            if path and 0 < Path(path).stat().st_size <= _MAX_STORE_SIZE:
                return Path(path).read_bytes()
        except OSError:
            continue
    return b""


def _run(order: bytes) -> Report:
    with _memory_file("order") as stdin, _memory_file("report") as stdout:
        stdin.write(order)
        stdin.seek(0)
        process = subprocess.Popen(
            COMMAND,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the command
        )
        try:
            code = process.wait(WALL_S)
        except subprocess.TimeoutExpired:
            return _used_up(f"more than {WALL_S} seconds")
        finally:
            process.kill()
            process.wait()
        if code != 0:
            return _ended(code)
        try:
            return msgspec.msgpack.decode(os.pread(stdout.fileno(), MAX_REPORT_SIZE, 0), type=Report)
        except msgspec.DecodeError:
            return _ended(code)


def _memory_file(name: str) -> BinaryIO:
    return os.fdopen(os.memfd_create(name), "w+b", buffering=0)


def _ended(code: int) -> Report:
    if code == EXIT_MEMORY:
        return _used_up(f"more than {MEMORY_BYTES // 2**20} MB of memory")
    if code == -signal.SIGXCPU:
        return _used_up(f"more than {CPU_S} seconds of processor time")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return _blocked(
        "examination", f"it broke off ({how}), so nothing is known of this file; make a new key and certificate"
    )


def _used_up(what: str) -> Report:
    return _blocked(
        "limits",
        f"to examine it takes {what}, and an honest file takes next to nothing: save the key again with usual "
        "encryption (openssl pkcs8 -topk8; a large RSA key in PKCS#12: openssl pkcs12 -noenc), or make a new one",
    )


def _blocked(check: str, reason: str) -> Report:
    return Report(findings=[Finding("block", check, reason)])
