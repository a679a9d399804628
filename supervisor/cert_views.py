"""`camfleet cert show | history`: which certificates are there, which are served, and which have been."""

import argparse
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from .cert_commands import Place, place
from .commands import command
from .config import GLOBAL
from .examine import Description, examine
from .status import StatusReport, parse, table

if TYPE_CHECKING:
    from .certs import Generation, LiveFiles
    from .commands import Subcommands

_DAY_S = 86_400


def add(cert: "Subcommands", where: argparse.ArgumentParser) -> None:
    show = command(cert, "show", "show the certificates in use", (where,))
    show.add_argument("--json", action="store_true", help="for scripts")
    show.set_defaults(command=_show)

    history = command(cert, "history", "list the generations of each certificate", (where,))
    history.add_argument("--for", dest="identity", metavar="CAMERA", help='or "global"; else all')
    history.set_defaults(command=_history)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One pair in use. What only a running server knows is None without one."""

    identity: str
    certificate: str  # paths
    private_key: str
    generation: int = 0  # 0: the files were put there by hand, and no server has archived them
    description: Description | None = None  # None: the files are no good
    days_left: int | None = None
    problem: str = ""  # why they are no good
    state: str | None = None  # "live" | "expired" | "refused: ...": `description` is still served | "not served yet"
    sessions_on_older: int | None = None


def _show(options: argparse.Namespace) -> int:
    here = place(options)
    report = _status(here)
    rows = [
        _shown(here, report, name, files, index)
        for name in (each.name for each in here.settings.tls.identities)
        for index, files in enumerate(here.store.live(name))
    ]
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return 0
    own = {row.identity for row in rows}
    others = [camera.id for camera in here.settings.cameras if camera.id not in own]
    parts = [_block(row) for row in rows]
    if GLOBAL not in own:
        parts.append("There is no global certificate yet; the first start makes one.")
    if others:
        parts.append(f"The global certificate is used by {', '.join(others)}.")
    if report is None:
        parts.append("No server is running here: which of these it shows, and to how many, is not known.")
    print("\n\n".join(parts))
    return 0


def _shown(here: Place, report: StatusReport | None, name: str, files: "LiveFiles", index: int) -> Shown:
    from .certs import StoreError
    from .certs.purpose import purpose_of

    current = here.store.current(name)
    description, problem = None, ""
    if current and index < len(current.pairs):
        description = current.pairs[index]
    else:
        purpose = msgspec.structs.replace(
            purpose_of(here.settings.tls.identity(name), here.store), outside_dates="warning"
        )
        try:
            examined = examine(here.store.read(files), purpose)
            description = examined.pair.description if examined.pair else None
            problem = "; ".join(each.reason for each in examined.findings if each.verdict == "block")
        except StoreError as error:
            problem = str(error)
    row = Shown(
        identity=name,
        certificate=str(files.certificate),
        private_key=str(files.private_key),
        generation=current.number if current else 0,
        description=description,
        days_left=_days_left(description),
        problem=problem,
    )
    if report is None:
        return row
    served = [each for each in report.certificates if each.identity == name]
    same = [each for each in served if description and each.fingerprint == description.fingerprint]
    if description is None and index < len(served):  # of the files nothing is known, but of what is served instead
        same = [served[index]]
        generations = [each for each in here.store.history(name) if each.number == served[index].generation]
        pairs = [pair for each in generations for pair in each.pairs]
        description = next((pair for pair in pairs if pair.fingerprint == served[index].fingerprint), None)
    return msgspec.structs.replace(
        row,
        generation=same[0].generation if same else row.generation,
        description=description,
        days_left=_days_left(description),
        state=(same or served)[0].state if same or (served and served[0].problem) else "not served yet",
        sessions_on_older=max((each.sessions_on_older for each in served), default=0),
    )


def _days_left(description: Description | None) -> int | None:
    return int((description.not_after_unix_s - time.time()) // _DAY_S) if description else None


def _block(row: Shown) -> str:
    generation = f"generation {row.generation}" if row.generation else "files of no generation"
    state, problem = row.state, row.problem
    if state and state.startswith("refused"):
        problem = problem or state.removeprefix("refused: ")
        state = "still served: the files are refused" if row.description else "refused"
    lines = [", ".join(filter(None, (row.identity, generation, state)))]
    fields = [("certificate", row.certificate), ("private key", row.private_key)]
    if row.description:
        begin, end = _date(row.description.not_before_unix_s), _date(row.description.not_after_unix_s)
        issuer = "itself" if row.description.self_signed else row.description.issuer
        fields += [
            ("subject", row.description.subject),
            ("names", ", ".join(row.description.names)),
            ("issuer", issuer),
            ("valid", f"{begin} to {end}, {row.days_left} days left"),
            ("key", row.description.key),
            ("SHA-256", row.description.fingerprint),
            ("of the key", row.description.key_fingerprint),
        ]
    if problem:
        fields.append(("problem", problem))
    if row.sessions_on_older is not None:
        fields.append(("sessions", f"{row.sessions_on_older} still use an older certificate"))
    return "\n".join([*lines, *(f"  {name:<12} {value}" for name, value in fields)])


def _history(options: argparse.Namespace) -> int:
    here = place(options)
    kept = here.store.identities()
    if options.identity and options.identity not in kept:
        here.identity(options.identity)  # a camera that is gone may have a history
    names = [options.identity] if options.identity else kept
    rows = [row for name in names for each in here.store.history(name) for row in _rows(here, name, each)]
    print(table("IDENTITY GENERATION> SINCE BY KEY SUBJECT ENDS SHA-256", rows) if rows else "There is no history.")
    return 0


def _rows(here: Place, name: str, generation: "Generation") -> list[tuple[str, ...]]:
    current = here.store.current(name)
    number = f"{generation.number}{'*' if current and current.number == generation.number else ' '}"
    since = datetime.fromtimestamp(generation.installed_unix_s, UTC).strftime("%Y-%m-%d %H:%M")
    first = (name, number, since, generation.origin)
    if not generation.pairs:
        return [(*first, "-", "never examined", "-", "-")]
    rest = [(each.key, each.subject, _date(each.not_after_unix_s), each.fingerprint) for each in generation.pairs]
    return [(*(first if index == 0 else ("", "", "", "")), *each) for index, each in enumerate(rest)]


def _status(here: Place) -> StatusReport | None:
    """None: no server is running here. Raises StartError when it does not answer."""
    from .arbiter import query_status

    return parse(query_status(here.state.run)) if here.server_runs() else None


def _date(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")
