"""Who the server is, for whom: the certificates of a configuration and how a client comes to each of them."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from .schema import GLOBAL, Camera
from .tls import TLS, CameraTLS, ClientCertificates, ClientUser, Expired, Profile

Files = tuple[Path, Path]  # certificate with its chain, private key; relative paths start at the state folder's certs/


class ClientPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Whom mutual TLS lets in."""

    certificates: ClientCertificates = "off"
    ca: Path = Path()  # relative to certs/, too; with "off" none
    user: ClientUser = "common_name"


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One identity: the global one, or a camera's. A camera without a pair of its own shows the global one."""

    name: str  # "global", or the camera's id
    files: tuple[Files, ...] = ()  # as configured; empty: those of the store
    rtsps_port: int = 0
    server_name: str = ""
    address: str = ""
    client: ClientPolicy = ClientPolicy()

    @property
    def reachable(self) -> bool:
        """Whether a client could ever be shown its certificate."""
        return self.name == GLOBAL or bool(self.rtsps_port or self.server_name or self.address)


class TLSSettings(msgspec.Struct, frozen=True, kw_only=True):
    profile: Profile = "compatible"
    expired: Expired = "serve"
    identities: tuple[IdentitySettings, ...] = (IdentitySettings(name=GLOBAL),)  # the global one first

    def identity(self, name: str) -> IdentitySettings:
        """The global one for a camera that is not configured."""
        return next((each for each in self.identities if each.name == name), self.identities[0])


def resolve_tls(tls: TLS, cameras: Iterable[Camera]) -> TLSSettings:
    return TLSSettings(
        profile=tls.profile,
        expired=tls.expired,
        identities=(
            IdentitySettings(name=GLOBAL, files=_files(tls), client=_client(tls, tls)),
            *(_identity(camera, tls) for camera in cameras),
        ),
    )


def _identity(camera: Camera, tls: TLS) -> IdentitySettings:
    own = camera.tls or CameraTLS()
    return IdentitySettings(
        name=camera.id,
        files=_files(own),
        rtsps_port=camera.rtsps_port,
        server_name=camera.server_name,
        address=str(camera.address),
        client=_client(own, tls),
    )


def _files(section: TLS | CameraTLS) -> tuple[Files, ...]:
    pairs = [(section.certificate, section.private_key)]
    if section.alternate_certificate:
        pairs = [(section.certificate or "ssl.ca", section.private_key or "ssl.key")]
        pairs.append((section.alternate_certificate, section.alternate_private_key))
    return tuple((Path(certificate), Path(private_key)) for certificate, private_key in pairs if certificate)


def _client(own: TLS | CameraTLS, tls: TLS) -> ClientPolicy:
    certificates = own.client_certificates or tls.client_certificates
    if certificates == "off":
        return ClientPolicy()
    return ClientPolicy(
        certificates=certificates,
        ca=Path(own.client_ca or tls.client_ca),
        user=own.client_user or tls.client_user,
    )
