"""The settings of certificates: the server's in [tls], a camera's in [cameras.tls]."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from .files import readable
from .section import Check, Complaint, Section

Profile = Literal["compatible", "strict"]
Expired = Literal["serve", "refuse"]
ClientCertificates = Literal["off", "optional", "required"]
ClientUser = Literal["common_name", "email", "dns"]

_PATHS = ("certificate", "private_key", "alternate_certificate", "alternate_private_key", "client_ca")


def _path(description: str) -> Meta:
    return Meta(min_length=1, description=description, extra={"allowed": "a path"})


def _pairs(folder: Path, *paths: str) -> Iterator[Complaint]:
    """Each certificate has its key. Relative paths start in a state folder that may not be there yet."""
    for certificate, private_key in (_PATHS[0:2], _PATHS[2:4]):
        given = [name for name in (certificate, private_key) if paths[_PATHS.index(name)]]
        if len(given) == 1:
            missing = private_key if given == [certificate] else certificate
            yield Complaint(missing, "is missing", f"{certificate} and {private_key} together, or neither")
    for name, path in zip(_PATHS, paths, strict=True):
        if Path(path).is_absolute():
            yield from readable(folder, name, path)


def _client_ca(_: Path, client_certificates: str, client_ca: str) -> Iterator[Complaint]:
    if client_certificates != "off" and not client_ca:
        wrong = f'is missing with client_certificates = "{client_certificates}"'
        yield Complaint("client_ca", wrong, "a PEM file of the authority that signs client certificates")


class TLS(Section, frozen=True, kw_only=True):
    """The global certificate and the rules of all handshakes. Without one, it is self-signed at the first start."""

    certificate: Annotated[
        str,
        _path(
            "PEM file of the certificate and its chain; a relative path starts at `certs/` in the state folder. "
            "Absent: `ssl.ca` there."
        ),
    ] = ""
    private_key: Annotated[str, _path("PEM file of its private key, likewise. Absent: `ssl.key` there.")] = ""
    alternate_certificate: Annotated[
        str,
        _path("A second certificate, RSA beside ECDSA or the other way round: clients get what they know."),
    ] = ""
    alternate_private_key: Annotated[str, _path("Its private key.")] = ""
    profile: Annotated[
        Profile,
        Meta(description="`compatible`: TLS 1.2 and 1.3, only ECDHE with AEAD. `strict`: TLS 1.3 only."),
    ] = "compatible"
    expired: Annotated[
        Expired,
        Meta(
            description="A certificate whose time is over: go on with it, as cameras are better seen with a warning "
            "than not at all, or `refuse` handshakes. Sessions go on in any case."
        ),
    ] = "serve"
    client_certificates: Annotated[
        ClientCertificates,
        Meta(
            description="Mutual TLS. `optional`: a client certificate is asked for, and checked when there is one. "
            "`required`: no handshake without."
        ),
    ] = "off"
    client_ca: Annotated[
        str, _path("PEM file of the authority that signs client certificates; a relative path starts at `certs/`.")
    ] = ""
    client_user: Annotated[
        ClientUser,
        Meta(
            description="Which part of a client certificate is the name of the user who is then logged in: the "
            "subject's common name, or the first e-mail address or DNS name of its SAN. Only names in `[[users]]` "
            "count; others still need a password."
        ),
    ] = "common_name"
    key_update_records: Annotated[
        int,
        Meta(
            ge=2,
            le=2**23,
            description="TLS 1.3: new keys after so many records, at most 2^24.5 are safe with AES-GCM (RFC 8446 5.5).",
        ),
    ] = 2**22
    key_update_spacing_s: Annotated[
        float,
        Meta(
            ge=0.2,
            le=3600,
            description="And never more often than this, in seconds: GnuTLS gives up at eight updates within one.",
        ),
    ] = 10.0

    checks: ClassVar = (Check(_PATHS, _pairs), Check(("client_certificates", "client_ca"), _client_ca))


def _alternate_alone(_: Path, certificate: str, alternate_certificate: str) -> Iterator[Complaint]:
    if alternate_certificate and not certificate:
        yield Complaint("certificate", "is missing", "a certificate beside the alternate one")


class CameraTLS(Section, frozen=True, kw_only=True):
    """A camera's own certificate. Clients get it by the camera's `rtsps_port`, `server_name` or `address`."""

    certificate: Annotated[
        str, _path("As in `[tls]`. Absent: `cameras/<id>/ssl.ca` if it is there, else the global certificate.")
    ] = ""
    private_key: Annotated[str, _path("Its private key.")] = ""
    alternate_certificate: Annotated[str, _path("A second certificate, of the other key type.")] = ""
    alternate_private_key: Annotated[str, _path("Its private key.")] = ""
    client_certificates: Annotated[ClientCertificates, Meta(description="Absent: as in `[tls]`.")] | None = None
    client_ca: Annotated[str, _path("Absent: as in `[tls]`.")] = ""
    client_user: Annotated[ClientUser, Meta(description="Absent: as in `[tls]`.")] | None = None

    checks: ClassVar = (Check(_PATHS, _pairs), Check(("certificate", "alternate_certificate"), _alternate_alone))
