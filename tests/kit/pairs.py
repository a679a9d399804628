"""Pairs as the store keeps them: the store reads no certificate, so these are none."""

from camfleet.supervisor.examine import Description, Pair


def pair(name: str, key: str = "ECDSA P-256") -> Pair:
    description = Description(
        subject=f"CN={name}",
        issuer="CN=Example CA",
        names=(f"{name}.example.org",),
        not_before_unix_s=1_700_000_000,
        not_after_unix_s=1_800_000_000,
        fingerprint=name.encode().hex().ljust(64, "0"),
        key=key,
        key_fingerprint=name.encode().hex().ljust(64, "1"),
        chain_length=1,
        self_signed=False,
    )
    return Pair(
        chain=f"certificate {name}\n".encode(), private_key=f"key {name}\n".encode() * 20, description=description
    )
