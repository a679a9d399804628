"""Files and folders that are whole or not there, after a kill and after a power cut as well.

    write -> fsync -> rename -> fsync of the folder

Who works here as root, for a server that runs as another user, leaves files which that user can read: whatever is made
belongs to the owner of the folder around it.
"""

import contextlib
import os
import shutil
from pathlib import Path

PRIVATE, PUBLIC, FOLDER = 0o600, 0o644, 0o700


def write(path: Path, data: bytes, mode: int) -> None:
    """A new file with its data on the disk. What a kill has left at this path is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        os.fchmod(descriptor, mode)  # whatever the umask
        give_to_owner(descriptor, path.parent)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes, mode: int) -> None:
    """The file has the old content or the new one, nothing between."""
    fresh = path.with_name(path.name + ".new")
    try:
        write(fresh, data, mode)
        rename(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def rename(path: Path, target: Path) -> None:
    """Within one folder."""
    path.rename(target)
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """And those around it, mode 0700, where they are not there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=FOLDER)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, FOLDER)
        give_to_owner(descriptor, path.parent)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    shutil.rmtree(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_owner(descriptor: int, folder: Path) -> None:
    """What root has made, to the owner of the folder."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
