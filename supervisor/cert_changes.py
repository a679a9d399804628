"""`camfleet cert install | use-global | rollback`: what changes which certificates are served.

Everything is examined first, then stored, then waited for: a running server takes it by itself.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from . import StartError
from .cert_commands import Place, add_pair, examined, place, read, render
from .commands import command
from .config import GLOBAL, IdentitySettings
from .config.lines import Location, locate
from .examine import Material, Pair, Purpose, Report, examine

if TYPE_CHECKING:
    from .certs.store import Generation, Origin
    from .commands import Subcommands

LIVE_TIMEOUT_S = 10.0
_LOOK_INTERVAL_S = 0.1


def add(cert: "Subcommands", where: argparse.ArgumentParser) -> None:
    install = command(cert, "install", "examine a certificate and its key, and serve it", (where,))
    add_pair(install)
    add_beside(install)
    install.add_argument("--ca", type=Path, metavar="FILE", help="the authority of your clients; else this system's")
    install.set_defaults(command=_install)

    use_global = command(cert, "use-global", "let a camera have the server's certificate again", (where,))
    use_global.add_argument("identity", metavar="CAMERA")
    use_global.set_defaults(command=_use_global)

    rollback = command(cert, "rollback", "serve what was served before; once more undoes it", (where,))
    rollback.add_argument("number", type=int, nargs="?", default=0, metavar="N", help="a generation of the history")
    rollback.add_argument("--for", dest="identity", default=GLOBAL, metavar="CAMERA", help="else the server's own")
    rollback.set_defaults(command=_rollback)


def add_beside(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--beside", action="store_true", help="keep the pair of the other key type (ECDSA, RSA)")


# ------------------------------------------------------------ commands


def _install(options: argparse.Namespace) -> int:
    here, identity = changeable(options)
    purpose = _purpose(here, identity, read(options.ca) if options.ca else b"")
    certificate = read(options.certificate)
    key = read(options.key) if options.key else b""
    report = examined(certificate, key, options.password_file, purpose)
    if not options.key and report.pair is None and report.findings[0].check == "format":
        report = _with_a_key_from_here(here, certificate, purpose) or report
    notable = [finding for finding in report.findings if finding.verdict != "pass"]
    if notable:
        print(render(msgspec.structs.replace(report, findings=notable)))
    if report.pair is None:
        print("Nothing was changed.")
        return 1
    code = serve(here, identity, report.pair, "install", beside=options.beside)
    pending = here.store.pending(identity.name)
    if pending.exists() and read(pending) == report.pair.private_key:
        here.store.forget_pending(identity.name)
    return code


def _use_global(options: argparse.Namespace) -> int:
    here, identity = changeable(options)
    here.store.use_global(identity.name)
    print(f"{identity.name} has no certificate of its own any more; its history is kept.")
    return _wait_until_live(here, identity, set())


def _rollback(options: argparse.Namespace) -> int:
    here, identity = changeable(options)
    previous = None if options.number else here.store.previous(identity.name)
    number = previous.number if previous else options.number
    if number:
        for pair in here.store.pairs(identity.name, number):
            report = examine(Material(certificate=pair.chain, private_key=pair.private_key), _purpose(here, identity))
            if report.pair is None:
                print(render(report), "Nothing was changed.", sep="\n")
                return 1
    generation = here.store.rollback(identity.name, number)
    print(f"The certificate of generation {number} is generation {generation.number} of {identity.name} now.")
    return _wait_until_live(here, identity, {pair.fingerprint for pair in generation.pairs})


# ------------------------------------------------------------ their steps


def changeable(options: argparse.Namespace) -> tuple[Place, IdentitySettings]:
    """Raises StartError for an identity that is not there, or whose files are not camfleet's to change."""
    here = place(options)
    identity = here.identity(options.identity)
    if identity.name in here.store.configured:
        raise StartError(
            f"{identity.name} has its certificate from {here.store.live(identity.name)[0].certificate}, by "
            f"{_configuration_line(here, identity.name)}: replace that file, which a running server sees, or remove "
            "the setting; nothing was changed"
        )
    here.state.prepare()
    return here, identity


def _configuration_line(here: Place, name: str) -> str:
    file = here.settings.file
    if file is None:
        return "the configuration"
    found = locate(file.read_text())
    tables: list[Location] = [("tls",)]
    if name != GLOBAL:
        tables = [("cameras", index, "tls") for index, each in enumerate(here.settings.cameras) if each.id == name]
    keys = ("certificate", "alternate_certificate")
    lines = [found[(*table, key)] for table in tables for key in keys if (*table, key) in found]
    return f"{file}:{lines[0]}" if lines else str(file)


def _purpose(here: Place, identity: IdentitySettings, trusted: bytes = b"") -> Purpose:
    from .certs.purpose import purpose_of

    return msgspec.structs.replace(purpose_of(identity, here.store), trusted=trusted)


def _with_a_key_from_here(here: Place, certificate: bytes, purpose: Purpose) -> Report | None:
    """By the key of the signing request, or of a certificate that is replaced by a newer one; None: neither is its."""
    pending = here.store.pending(purpose.identity)
    keys = [read(pending)] if pending.exists() else []
    keys += [here.store.read(files).private_key for files in here.store.live(purpose.identity)]
    for key in keys:
        report = examine(Material(certificate=certificate, private_key=key), purpose)
        if any((each.check, each.verdict) == ("key belongs to certificate", "pass") for each in report.findings):
            return report
    return None


def serve(here: Place, identity: IdentitySettings, pair: Pair, origin: "Origin", *, beside: bool) -> int:
    from .certs import provision

    pairs = provision.beside(_live_pairs(here, identity), pair) if beside else [pair]
    generation = here.store.install(identity.name, pairs, origin)
    print(_installed(identity, generation))
    return _wait_until_live(here, identity, {each.description.fingerprint for each in pairs})


def _installed(identity: IdentitySettings, generation: "Generation") -> str:
    lines = [f"Generation {generation.number} of {identity.name}:"]
    lines += [f"  {each.key}, {each.subject}, SHA-256 {each.fingerprint}" for each in generation.pairs]
    if not identity.reachable:
        lines.append(
            f"No client can be shown it: give {identity.name} an rtsps_port, a server_name or an address of its own."
        )
    return "\n".join(lines)


def _live_pairs(here: Place, identity: IdentitySettings) -> Sequence[Pair]:
    current = here.store.current(identity.name)
    if current and current.pairs:
        return here.store.pairs(identity.name, current.number)
    purpose = msgspec.structs.replace(_purpose(here, identity), outside_dates="warning")
    pairs = []
    for files in here.store.live(identity.name):
        report = examine(here.store.read(files), purpose)
        if report.pair is None:
            raise StartError(f"{files.certificate} is live and no good; install without --beside to replace it")
        pairs.append(report.pair)
    return pairs


def _wait_until_live(here: Place, identity: IdentitySettings, fingerprints: set[str]) -> int:
    from .arbiter import ServerNotRunningError, query_status
    from .status import parse

    taken = "Live." if identity.reachable else "The server has taken it."
    if here.settings.rtsps == "off":
        print('TLS is off (rtsps = "off"); it is served when it is on.')
        return 0
    deadline = time.monotonic() + LIVE_TIMEOUT_S
    while True:
        if not here.server_runs():
            print("No server is running here; it will be used at the next start.")
            return 0
        try:
            report = parse(query_status(here.state.run))
            rows = [row for row in report.certificates if row.identity == identity.name]
            if {row.fingerprint for row in rows} == fingerprints:
                print(taken)
                return 0
            refused = [row.state for row in rows if row.state.startswith("refused")]
            problem = refused[0] if refused else f"the server has not taken it within {LIVE_TIMEOUT_S:g} s; see its log"
        except ServerNotRunningError as error:  # starts, ends, or is asked by the wrong user
            problem = str(error)
        if time.monotonic() > deadline:
            raise StartError(problem)
        time.sleep(_LOOK_INTERVAL_S)
