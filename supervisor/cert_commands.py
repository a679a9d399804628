"""`camfleet cert ...`: certificates and keys, looked at and changed from the command line.

Exit codes as in cli.py; `validate`: 0 when nothing blocks.
"""

import argparse
import getpass
import os
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from . import StartError
from .commands import command
from .config import GLOBAL, IdentitySettings, Settings, load
from .examine import MAX_MATERIAL_SIZE, Material, Purpose, Report, examine
from .state import StateFolder, default_state_dir
from .status import table

if TYPE_CHECKING:
    from .certs.store import Store
    from .commands import Subcommands

REASON_WIDTH = 88


def add(commands: "Subcommands", where: argparse.ArgumentParser) -> "Subcommands":
    """The group `cert`. `where`: the options that name configuration and state folder."""
    group = command(commands, "cert", "certificates: check, install, show, go back, make")
    cert = group.add_subparsers(title="commands", required=True, metavar="COMMAND")

    validate = command(cert, "validate", "say whether a certificate and its key can be served", (where,))
    add_pair(validate)
    validate.add_argument("--ca", type=Path, metavar="FILE", help="the authority of your clients; else this system's")
    validate.add_argument("--json", action="store_true", help="for scripts")
    validate.set_defaults(command=_validate)
    return cert


def add_pair(parser: argparse.ArgumentParser) -> None:
    """What names a pair, and whom it is for; `examined` takes it from there."""
    parser.add_argument("certificate", type=Path, metavar="CERT", help="PEM, DER, PKCS#12 or PKCS#7, with its chain")
    parser.add_argument("key", type=Path, nargs="?", metavar="KEY", help="unless it is in the same file")
    parser.add_argument("--for", dest="identity", default=GLOBAL, metavar="CAMERA", help="else the server's own")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="of an encrypted key; else it is asked for")


def examined(certificate: bytes, key: bytes, password_file: Path | None, purpose: Purpose) -> Report:
    """Asks for the password when one is needed and there is a terminal. Raises StartError."""
    password = read(password_file).rstrip(b"\r\n") if password_file else b""
    report = examine(Material(certificate=certificate, private_key=key, password=password), purpose)
    if password or report.findings[0].check != "password" or not sys.stdin.isatty():
        return report
    password = getpass.getpass("Password of the private key: ").encode()
    return examine(Material(certificate=certificate, private_key=key, password=password), purpose)


def read(path: Path) -> bytes:
    """One byte more than can be examined at most. Raises StartError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_MATERIAL_SIZE + 1)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None


def render(report: Report) -> str:
    """The findings as a table, and what follows from them."""
    rows: list[tuple[str, ...]] = []
    for finding in report.findings:
        first, *others = textwrap.wrap(finding.reason, REASON_WIDTH)
        rows += [(finding.verdict, finding.check, first), *(("", "", line) for line in others)]
    count = Counter(finding.verdict for finding in report.findings)
    warnings = f" with {count['warning']} warning{'s' * (count['warning'] > 1)}" if count["warning"] else ""
    outcome = f"Not good: {count['block']} of these must be mended." if count["block"] else f"Good{warnings}."
    return f"{table('VERDICT CHECK REASON', rows)}\n\n{outcome}"


def _validate(options: argparse.Namespace) -> int:
    purpose = msgspec.structs.replace(_purpose(options), trusted=read(options.ca) if options.ca else b"")
    key = read(options.key) if options.key else b""
    report = examined(read(options.certificate), key, options.password_file, purpose)
    if options.json:
        description = report.pair.description if report.pair else None
        shown: dict[str, Any] = {"verdict": report.verdict, "findings": report.findings, "certificate": description}
        print(msgspec.json.format(msgspec.json.encode(shown)).decode())
    else:
        print(render(report))
    return int(report.verdict == "block")


class Place(NamedTuple):
    """What a command works on."""

    settings: Settings
    state: StateFolder
    store: "Store"

    def identity(self, name: str) -> IdentitySettings:
        """Raises StartError."""
        found = self.settings.tls.identity(name)
        if found.name != name:
            cameras = ", ".join(camera.id for camera in self.settings.cameras)
            raise StartError(f'there is no camera "{name}"; there are {cameras}')
        return found

    def server_runs(self) -> bool:
        """Raises StartError when that cannot be known."""
        from .arbiter.lock import SUPERVISOR_LOCK, holder

        path = self.state.path / SUPERVISOR_LOCK
        try:
            return holder(path) is not None
        except OSError as error:
            raise StartError(f"{path}: {error.strerror}; ask as the user that the server runs as") from None


def place(options: argparse.Namespace) -> Place:
    """Raises ConfigurationError."""
    from .certs.files import configured_files
    from .certs.store import Store

    settings = load(options.config)
    state = StateFolder(options.state_dir or settings.state_dir or default_state_dir(os.environ, os.geteuid()))
    return Place(settings, state, Store(state.certs, configured_files(settings.tls.identities, state.certs)))


def _purpose(options: argparse.Namespace) -> Purpose:
    """Whom the pair is for, and how clients call it. Raises ConfigurationError, StartError."""
    from .certs.purpose import purpose_of

    here = place(options)
    return purpose_of(here.identity(options.identity), here.store)
