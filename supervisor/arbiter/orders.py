"""What the arbiter is told to make true."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from camfleet.core.wire import CameraSpec, UserSpec


class Orders(NamedTuple):
    """What a configuration says about workers."""

    cameras: Sequence[CameraSpec]
    users: Sequence[UserSpec]
    orphan_timeout_s: float = 300.0
    silence_timeout_s: float = 10.0
    lockout_s: float = 60.0
    cores: Mapping[str, frozenset[int]] = MappingProxyType({})  # of cameras whose worker is bound to some
    spread: bool = False  # each of the others on one core
