"""The life of the worker processes, and the bus and hand-off socket that connect them to the supervisor."""

from .arbiter import Arbiter
from .bus import ServerNotRunningError, query_status
from .forkserver import ForkServer
from .handoff import HandOverError
from .lock import SupervisorLock
from .orders import Orders

__all__ = [
    "Arbiter",
    "ForkServer",
    "HandOverError",
    "Orders",
    "ServerNotRunningError",
    "SupervisorLock",
    "query_status",
]
