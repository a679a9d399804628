"""The files of an identity: their names, and how they are read and filled."""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from camfleet.supervisor import StartError
from camfleet.supervisor.config import GLOBAL, IdentitySettings
from camfleet.supervisor.examine import MAX_MATERIAL_SIZE, Pair

from . import durable

CERTIFICATE_NAME, PRIVATE_KEY_NAME = "ssl.ca", "ssl.key"
NAMES = ((CERTIFICATE_NAME, PRIVATE_KEY_NAME), ("ssl.alternate.ca", "ssl.alternate.key"))
FILES = ("ssl.key", "ssl.ca", "ssl.alternate.key", "ssl.alternate.ca")  # in the order in which they are replaced

Contents = dict[str, bytes]  # file name to its bytes


class StoreError(StartError):
    """What the folder of certificates does not allow, in the operator's words."""


class LiveFiles(NamedTuple):
    certificate: Path
    private_key: Path


def configured_files(identities: Iterable[IdentitySettings], folder: Path) -> dict[str, list[LiveFiles]]:
    """Of the identities whose files are not in their usual place. `folder`: certs/, where relative paths start."""
    found = {each.name: [LiveFiles(*(folder / path for path in pair)) for pair in each.files] for each in identities}
    usual = [LiveFiles(*(folder / name for name in names)) for names in NAMES]
    return {name: files for name, files in found.items() if files and (name != GLOBAL or files != usual[: len(files)])}


def mode(name: str) -> int:
    return durable.PRIVATE if name.endswith(".key") else durable.PUBLIC


def read_file(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe of this name would wait for ever
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{path} is not a regular file")
        data = file.read(MAX_MATERIAL_SIZE + 1)
    if len(data) > MAX_MATERIAL_SIZE:
        raise StoreError(f"{path} has more than {MAX_MATERIAL_SIZE} bytes; this is no certificate and no key")
    return data


def laid_out(pairs: Sequence[Pair]) -> Contents:
    """What is to stand in the files, in the order in which they are replaced."""
    kinds = [pair.description.key.split()[0] for pair in pairs]
    if not 1 <= len(pairs) <= len(NAMES) or len(set(kinds)) != len(kinds):
        raise ValueError(f"one pair, or two of different key types, not {kinds}")
    contents = {}
    for (certificate, private_key), pair in zip(NAMES, pairs, strict=False):
        contents[private_key] = pair.private_key
        contents[certificate] = pair.chain
    return contents


def contents_of(folder: Path) -> Contents:
    return {name: read_file(folder / name) for name in FILES if (folder / name).exists()}
