"""testssl.sh and sslyze look at a server of each profile and kind of certificate.

`make scan-tls` writes docs/tls-scan.md. Exit code 1: something of medium severity or above, or off Mozilla's
recommendations, that EXPLAINED does not explain.
"""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cryptography import x509
from OpenSSL import SSL

from tests.kit.certificates import DAY, Recipe, authority, ec_key, pem
from tests.kit.server import Server

Profile = Literal["compatible", "strict"]
PROFILES: tuple[Profile, ...] = ("compatible", "strict")
CERTIFICATES = ("self-signed", "private authority", "company's authority")
MOZILLA = {"compatible": "intermediate", "strict": "modern"}
ACCEPTED = {"compatible": {"TLS_1_2", "TLS_1_3"}, "strict": {"TLS_1_3"}}
VERSIONS = ("SSL_2_0", "SSL_3_0", "TLS_1_0", "TLS_1_1", "TLS_1_2", "TLS_1_3")
HARMLESS = ("OK", "INFO", "DEBUG")
MEDIUM = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
OF_THE_SCANNER = ("engine_problem",)  # of the openssl program that testssl.sh uses

REVOCATION = "nobody publishes what he has revoked; short lifetimes instead, or a company's authority"
EXPLAINED = {  # what lies in the certificate, by kind
    ("self-signed", "cert_chain_of_trust"): "nobody but itself vouches for it",
    ("self-signed", "cert_revocation"): REVOCATION,
    ("private authority", "cert_revocation"): REVOCATION,
    ("self-signed", "root_is_not_sent"): "it is its own root",
    ("self-signed", "maximum_certificate_lifespan"): "clients have it by hand, so that it lasts 397 days",
}
REMARKS = {  # below medium
    "sessionresumption_ticket": "testssl.sh was gone before a ticket of TLS 1.3 came, as happens with openssl s_server",
}
HEAD = """# What TLS scanners say

Written by `make scan-tls`: testssl.sh and sslyze against a server of each profile, with three kinds of certificate: the
self-signed one of the first start; one of the private authority (`cert create issued`; in `compatible` with an RSA one
beside it); one of another authority, with intermediate and CRL address, as a company has it (`cert install --ca`).

sslyze compares with Mozilla's recommendations, "intermediate" for `compatible` and "modern" for `strict`. It has no
severities; what is not as it should be is of medium severity here.
"""


class Finding(NamedTuple):
    severity: str
    check: str
    words: str


class Scan(NamedTuple):
    scanner: str
    profile: Profile
    certificate: str
    findings: list[Finding]  # those that are not HARMLESS
    passed: int

    def unexplained(self) -> list[Finding]:
        serious = [each for each in self.findings if each.severity in MEDIUM]
        return [each for each in serious if (self.certificate, each.check) not in EXPLAINED]


def run(*command: str | Path, codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode not in codes:
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def certify(server: Server, certificate: str, profile: Profile, folder: Path) -> Path:
    """Makes the server show it; the authority's file is the answer."""

    def cert(*arguments: str | Path) -> None:
        run(sys.executable, "-m", "camfleet.supervisor", "cert", *arguments, "--config", server.config)

    trusted = folder / "trusted.pem"
    if certificate == "self-signed":
        trusted.write_bytes((server.state_dir / "certs" / "ssl.ca").read_bytes())
    elif certificate == "private authority":
        cert("create", "authority")
        cert("create", "issued")
        if profile == "compatible":  # Mozilla's "modern" wants ECDSA alone
            cert("create", "issued", "--key", "rsa", "--beside")
        cert("root", "--out", trusted)
    else:
        now = datetime.now(UTC)
        root = authority("Example Root", ends=now + 3650 * DAY)
        issuing = authority("Example Issuing", root, ends=now + 1800 * DAY)
        url = x509.UniformResourceIdentifier("http://crl.example.org/issuing.crl")
        points = x509.CRLDistributionPoints([x509.DistributionPoint([url], None, None, None)])
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.key.public_key())
        recipe = Recipe(
            names=("localhost",),
            addresses=("127.0.0.1",),
            begins=now - timedelta(hours=1),
            ends=now + 89 * DAY,
            serial_number=x509.random_serial_number(),
            more=(points, identifier),
        )
        leaf, key = folder / "leaf.pem", ec_key()
        leaf.write_bytes(pem(recipe.made(key, issuing), issuing.certificate, key))
        trusted.write_bytes(pem(root.certificate))
        cert("install", leaf, "--ca", trusted)
    return trusted


def testssl(target: str, trusted: Path, folder: Path) -> Iterator[Finding]:
    out = folder / "testssl.json"
    options: list[str | Path] = ["--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--add-ca", trusted]
    # Its exit code is the number of what it has to say.
    run("testssl", *options, "--jsonfile", out, target, codes=tuple(range(200)))
    for each in json.loads(out.read_text()):
        if each["id"] not in OF_THE_SCANNER:
            yield Finding(each["severity"], each["id"].partition(" ")[0], each["finding"])


def sslyze(program: Path, profile: Profile, target: str, trusted: Path, folder: Path) -> Iterator[Finding]:
    out = folder / "sslyze.json"
    options: list[str | Path] = ["--certinfo_ca_file", trusted, "--mozilla_config", MOZILLA[profile], "--json_out", out]
    text = run(program, *options, target, codes=(0, 1))
    yield from judged(json.loads(out.read_text())["server_scan_results"][0]["scan_result"], profile)
    _, _, compliance = text.partition("COMPLIANCE AGAINST")
    if f"{target}: OK - Compliant." in compliance:
        yield Finding("OK", "compliance", MOZILLA[profile])
    for check, words in re.findall(r"^ +\* (\w+): (.*)$", compliance, re.MULTILINE):
        yield Finding("MEDIUM", check, words)


def judged(results: dict[str, Any], profile: Profile) -> Iterator[Finding]:
    """sslyze has no severities: whatever is not as it should be is of medium severity here."""

    def result(name: str) -> dict[str, Any]:
        assert results[name]["status"] == "COMPLETED", f"sslyze has not looked at {name}"
        return dict(results[name]["result"])

    spoken = {v for v in VERSIONS if result(f"{v.lower()}_cipher_suites")["is_tls_version_supported"]}
    chains = result("certificate_info")["certificate_deployments"]
    verdicts = [verdict for chain in chains for verdict in chain["path_validation_results"]]
    supplied = [verdict for verdict in verdicts if "Supplied" in verdict["trust_store"]["name"]]
    facts = {
        "protocols": spoken == ACCEPTED[profile],
        "trusted_by_its_authority": all(each["was_validation_successful"] for each in supplied) and bool(supplied),
        "order_of_the_chain": all(chain["received_chain_has_valid_order"] for chain in chains),
        "root_is_not_sent": not any(chain["received_chain_contains_anchor_certificate"] for chain in chains),
        "no_compression": not result("tls_compression")["supports_compression"],
        "ccs_injection": not result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"],
        "heartbleed": not result("heartbleed")["is_vulnerable_to_heartbleed"],
        "robot": result("robot")["robot_result"] == "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
        "renegotiation": not result("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"],
        "extended_master_secret": result("tls_extended_master_secret")["supports_ems_extension"],
    }
    for check, good in facts.items():
        yield Finding("OK" if good else "MEDIUM", check, str(good))


def scans(program: Path, keep: Path) -> Iterator[Scan]:
    for profile in PROFILES:
        for certificate in CERTIFICATES:
            folder = keep / f"{profile}-{CERTIFICATES.index(certificate)}"
            folder.mkdir()
            with (
                contextlib.redirect_stdout(None),  # the server's log, hundreds of failed handshakes
                Server(folder, tail=f'\n[tls]\nprofile = "{profile}"\n') as server,
            ):
                trusted = certify(server, certificate, profile, folder)
                target = f"localhost:{server.rtsps_port}"
                both = {
                    "testssl.sh": list(testssl(target, trusted, folder)),
                    "sslyze": list(sslyze(program, profile, target, trusted, folder)),
                }
            for scanner, found in both.items():
                notable = [each for each in found if each.severity not in HARMLESS]
                yield Scan(scanner, profile, certificate, notable, len(found) - len(notable))


def page(done: list[Scan], program: Path) -> str:
    openssl = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()
    banner = re.sub(r"\x1b\[[\d;]*m", "", run("testssl", "--version", codes=(0, 1)))
    scanners = f"testssl.sh {_found('testssl +([0-9.]+)', banner)}"
    scanners += f", sslyze {_found('^Version: (.*)$', run(program.with_name('pip'), 'show', 'sslyze'))}"
    unexplained = [f"{scan.profile}, {scan.certificate}, {each.check}" for scan in done for each in scan.unexplained()]
    lines = [
        HEAD,
        f"Measured {datetime.now(UTC):%Y-%m-%d} with {scanners}; the server had {openssl}, pyOpenSSL "
        f"{version('pyOpenSSL')}, cryptography {version('cryptography')}.\n",
        "    testssl --quiet --warnings off --nodns none --add-ca AUTHORITY localhost:PORT",
        "    sslyze --certinfo_ca_file AUTHORITY --mozilla_config intermediate|modern localhost:PORT\n",
        "Of medium severity or above, and not explained below: **" + ("; ".join(unexplained) or "nothing") + "**.\n",
        "| profile | certificate | scanner | checks without a fault | others |",
        "|---|---|---|---|---|",
    ]
    for scan in done:
        others = ", ".join(dict.fromkeys(f"`{each.check}` ({each.severity.lower()})" for each in scan.findings)) or "-"
        lines.append(f"| `{scan.profile}` | {scan.certificate} | {scan.scanner} | {scan.passed} | {others} |")
    found = {(scan.certificate, each) for scan in done for each in scan.findings}
    seen = {(certificate, each.check) for certificate, each in found}
    lines += ["\nThese lie in the certificate:\n"]
    lines += [f"- {kind}, `{check}`: {why}" for (kind, check), why in EXPLAINED.items() if (kind, check) in seen]
    small = sorted({each for _, each in found if each.severity not in MEDIUM})
    if small:
        lines += ["\nThe rest is below medium:\n"]
        lines += [f"- `{each.check}`: {REMARKS.get(each.check, each.words)}" for each in small]
    return "\n".join(lines) + "\n"


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else "of an unknown version"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sslyze", type=Path, required=True, help="the program, in an environment of its own")
    parser.add_argument("--out", type=Path, default=Path("docs/tls-scan.md"))
    options = parser.parse_args()
    done = []
    with tempfile.TemporaryDirectory() as keep:
        for scan in scans(options.sslyze, Path(keep)):
            done.append(scan)
            print(scan, flush=True)
    options.out.write_text(page(done, options.sslyze))
    unexplained = [finding for scan in done for finding in scan.unexplained()]
    print(f"{len(unexplained)} of medium severity or above are not explained", *unexplained, sep="\n")
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
