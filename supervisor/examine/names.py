"""The names in a certificate: which of ours they cover (RFC 9525), and how they are shown."""

import ipaddress
from collections.abc import Sequence

from cryptography import x509

MAX_SHOWN = 200


def printable(text: str) -> str:
    """On one line, without anything that a terminal would obey."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: MAX_SHOWN + 1])
    return shown if len(text) <= MAX_SHOWN else shown[:MAX_SHOWN] + "..."


def shown(name: x509.Name) -> str:
    return printable(name.rfc4514_string()) or "(empty)"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few in a row."""
    more = len(names) - most
    return ", ".join(map(printable, names[:most])) + (f" and {more} more" if more > 0 else "")


def alternatives(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """DNS names and addresses of the SAN, as they stand there."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    return extension.get_values_for_type(x509.DNSName), [str(a) for a in extension.get_values_for_type(x509.IPAddress)]


def covers(certificate_names: Sequence[str], name: str) -> bool:
    """A wildcard stands for exactly one label, the leftmost (RFC 9525 6.3)."""
    wanted = _canonical(name)
    wildcard = "*." + wanted.partition(".")[2]
    return any(_canonical(given) in (wanted, wildcard) for given in certificate_names)


def covers_address(certificate_addresses: Sequence[str], address: str) -> bool:
    try:
        return str(ipaddress.ip_address(address.partition("%")[0])) in certificate_addresses
    except ValueError:
        return False


def _canonical(name: str) -> str:
    """Lower case, A-labels, no final dot."""
    name = name.rstrip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name
