"""On which processor cores workers run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from camfleet.supervisor.cores import ranges, usable
from msgspec import Meta

from .section import Complaint

# Another number is no core anywhere; which of them there are here is looked up.
Cores = tuple[Annotated[int, Meta(ge=0, lt=2**16)], ...]
Affinity = Literal["none", "spread"] | Annotated[Cores, Meta(min_length=1)]


def cores_there(_: Path, affinity: Affinity) -> Iterator[Complaint]:
    """For all workers."""
    if not isinstance(affinity, str):
        yield from _missing("affinity", affinity, "the server")


def camera_cores_there(_: Path, id: str, cpus: Cores) -> Iterator[Complaint]:
    yield from _missing("cpus", cpus, f'camera "{id}"')


def _missing(key: str, cores: Cores, whose: str) -> Iterator[Complaint]:
    here = usable()
    if missing := set(cores) - here:
        noun = "cores" if len(missing) > 1 else "core"
        wrong = f"{whose} cannot have {noun} {ranges(missing)}"
        yield Complaint(key, wrong, f"of the cores that this process may use: {ranges(here)}")
