"""The openssl command line: what we make, judged by somebody else."""

import subprocess
from pathlib import Path


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=20, check=False)


def verifies(root: Path, leaf: Path, *options: str) -> bool:
    """As a TLS client does, strictly. `options` such as "-verify_hostname", "cams.example.org"."""
    done = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-CAfile", root, *options, leaf)
    return done.returncode == 0 and done.stdout.endswith(": OK\n")
