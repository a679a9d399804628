"""`camfleet cert create self-signed | request | authority | issued`, `cert root`: certificates that are made here."""

import argparse
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import StartError
from .cert_changes import add_beside, changeable, serve
from .cert_commands import place
from .commands import command
from .config import GLOBAL, IdentitySettings
from .examine import Material

if TYPE_CHECKING:
    from .certs.issue import Subject
    from .commands import Subcommands

_MAX_DAYS = 36_500


def add(cert: "Subcommands", where: argparse.ArgumentParser) -> None:
    create = command(cert, "create", "make certificates").add_subparsers(title="kinds", required=True, metavar="KIND")
    names = "a DNS name or an address (may be repeated); else the host's"
    domains = "a domain, address or network that it may issue for (may be repeated); else any"

    self_signed = command(create, "self-signed", "make one that vouches for itself, and serve it", (where,))
    _add_options(self_signed, names, days=397)
    add_beside(self_signed)
    self_signed.set_defaults(command=_self_signed)

    request = command(create, "request", "ask an authority; the private key stays here", (where,))
    _add_options(request, names)
    request.add_argument("--out", type=Path, metavar="FILE", help="else to stdout")
    request.set_defaults(command=_request)

    authority = command(create, "authority", "make a private authority, once for all your clients", (where,))
    _add_options(authority, domains, days=3652, owned=False)
    authority.set_defaults(command=_authority)

    issued = command(create, "issued", "make one by the private authority, serve it and renew it", (where,))
    _add_options(issued, names, days=90)
    add_beside(issued)
    issued.set_defaults(command=_issued)

    root = command(cert, "root", "give out the private authority's certificate, for clients", (where,))
    root.add_argument("--out", type=Path, metavar="FILE", help="else to stdout")
    root.set_defaults(command=_root)


def _add_options(parser: argparse.ArgumentParser, names: str, *, days: int = 0, owned: bool = True) -> None:
    if owned:
        parser.add_argument("--for", dest="identity", default=GLOBAL, metavar="CAMERA", help="else the server's own")
    parser.add_argument("--name", action="append", default=[], metavar="NAME", help=names)
    parser.add_argument("--key", choices=("ecdsa", "rsa"), default="ecdsa", help="ECDSA P-256, or RSA of 3072 bits")
    if days:
        parser.add_argument("--days", type=_days, default=days, metavar="D", help=f"lifetime; else {days}")


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {_MAX_DAYS}")
    return int(text)


def _self_signed(options: argparse.Namespace) -> int:
    from .certs import issue, provision

    here, identity = changeable(options)
    key = issue.new_key(options.key)
    certificate = issue.self_signed(key, _subject(options, identity), datetime.now(UTC), options.days)
    material = Material(certificate=issue.certificate_pem(certificate), private_key=issue.key_pem(key))
    pair = provision.vetted(material, identity.name)
    return serve(here, identity, pair, "self-signed", beside=options.beside)


def _request(options: argparse.Namespace) -> int:
    from .certs import issue, provision

    here, identity = changeable(options)
    subject = _subject(options, identity)
    if not options.name:
        subject = issue.without_loopback(subject)
    request = provision.signing_request(here.store, identity.name, subject, options.key)
    _put(request, options.out)
    print(
        f"The private key waits in {here.store.pending(identity.name)}. When the authority has answered:\n"
        f"camfleet cert install CERTIFICATE{_again(options)}",
        file=sys.stderr,
    )
    return 0


def _authority(options: argparse.Namespace) -> int:
    from .certs import Authority, host_names

    here = place(options)
    here.state.prepare()
    authority = Authority(here.state.certs)
    host = host_names()[-1]  # the fullest
    authority.create(host, options.name, datetime.now(UTC), key_type=options.key, days=options.days)
    print(f"{authority.root.subject.rfc4514_string()}, SHA-256 {authority.root_fingerprint}")
    print(f"For clients:      camfleet cert root --out root.crt{_again(options)}")
    print(f"For this server:  camfleet cert create issued{_again(options)}")
    return 0


def _issued(options: argparse.Namespace) -> int:
    from .certs import Authority, provision

    here, identity = changeable(options)
    authority = Authority(here.state.certs)
    subject = _subject(options, identity)
    if not options.name:
        subject = authority.permitted(subject)
    material = authority.issue(subject, datetime.now(UTC), key_type=options.key, days=options.days)
    pair = provision.vetted(material, identity.name, authority.root_pem)
    return serve(here, identity, pair, "authority", beside=options.beside)


def _root(options: argparse.Namespace) -> int:
    from .certs import Authority

    _put(Authority(place(options).state.certs).root_pem, options.out)
    return 0


def _subject(options: argparse.Namespace, identity: IdentitySettings) -> "Subject":
    from .certs import issue, provision

    if options.name:
        return issue.parse_subject(options.name)
    own = [name for name in (identity.server_name, identity.address) if name]
    host = provision.host_subject()
    return issue.parse_subject([*own, *host.names, *map(str, host.addresses)])


def _again(options: argparse.Namespace) -> str:
    """The options that say which server, and whose certificate, for another command."""
    given = {"--config": options.config, "--state-dir": options.state_dir}
    given["--for"] = None if vars(options).get("identity", GLOBAL) == GLOBAL else options.identity
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)


def _put(data: bytes, out: Path | None) -> None:
    if out is None:
        print(data.decode(), end="")
        return
    try:
        out.write_bytes(data)
    except OSError as error:
        raise StartError(f"{out}: {error.strerror}") from None
