"""Who a client certificate says that its holder is."""

from typing import Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

UserRule = Literal["common_name", "email", "dns"]


def user_of(certificate: x509.Certificate, rule: UserRule) -> str:
    """The one common name, or the first e-mail address or DNS name of the SAN; empty when there is none."""
    try:
        if rule == "common_name":
            names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return str(names[0].value) if len(names) == 1 else ""
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        kind = x509.RFC822Name if rule == "email" else x509.DNSName
        return next(iter(alternatives.get_values_for_type(kind)), "")
    except (ValueError, x509.ExtensionNotFound):  # what the library could verify need not be readable
        return ""
