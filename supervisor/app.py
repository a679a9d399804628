"""The composition root: builds the rooms, joins them, and takes them down in order.

    start    lock -> fork server -> keys -> ports -> bus -> workers -> accept
    reload   SIGHUP, or a changed file: everything is validated, new encoders tried and new ports bound before anything
             is touched; a change meanwhile waits its turn
    stop     SIGINT, SIGTERM: no more clients, goodbye to the readers, no process left, within two seconds

The order of the start keeps secrets here: the fork server runs before the first key is read.
"""

import asyncio
import importlib.metadata
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from camfleet.core.hardening import harden
from camfleet.core.log import Log
from camfleet.core.rtsp import Authenticator, Lockout
from camfleet.core.wire import CameraSpec

from . import StartError, encoders, protocols
from .arbiter import Arbiter, ForkServer, Orders, SupervisorLock
from .arbiter.report import camera_reports
from .certs.live import LiveCertificates
from .config import ConfigurationError, Settings, TLSSettings
from .config.settings import Signature, signature
from .credentials import REALM
from .listen import BindError, Budget, Door, Journal, Listener, bind
from .route import Router
from .state import StateFolder
from .status import StatusReport, SupervisorStatus

log = Log("app")

FILE_CHECK_INTERVAL_S = 1.0
GREETING_TIMEOUT_S = 10.0  # a camera that does not come up must not hide the others' URLs

Port = tuple[str, int, bool]  # host, port, secure


async def serve(
    settings: Settings, state: StateFolder, on_ready: Callable[[], None], reload: Callable[[], Settings]
) -> int:
    """Serve until SIGINT or SIGTERM; the exit code. `on_ready` is called when clients can come, `reload` for the
    settings as they are now. Raises StartError."""
    harden()
    lock = SupervisorLock(state.path)
    forkserver = ForkServer()
    try:
        forkserver.start()
        certificates = LiveCertificates(state.certs)
        certificates.commit(await certificates.prepare(_tls(settings), time.time()))
        server = Server(settings, state, forkserver, certificates)
        try:
            await server.run(on_ready, reload)
        finally:
            await server.close()
    finally:
        await forkserver.stop()
        lock.release()
    return 0


class Server:
    """Everything that a configuration says, running."""

    def __init__(
        self, settings: Settings, state: StateFolder, forkserver: ForkServer, certificates: LiveCertificates
    ) -> None:
        self._settings = settings
        self._state = state
        self._certificates = certificates
        self._began_ns = time.monotonic_ns()
        self._refused: list[str] = []  # what is wrong with the settings that are not in force
        limits = settings.limits
        nonce_key = secrets.token_bytes(32)
        self._authenticator = Authenticator(settings.users, realm=REALM, nonce_key=nonce_key)
        self._lockout = Lockout(
            user_failures=limits.login_failures, window_s=limits.login_failure_window_s, lock_s=limits.lockout_s
        )
        self._budget = Budget(limits)
        self._journal = Journal(Log("listen"))
        self._listeners: dict[Port, list[Listener]] = {}
        self._accepting: dict[Port, list[asyncio.Task[None]]] = {}
        try:
            self._served = self._look(settings)  # the files by which it runs
            self._bind(_ports(settings))
        except BindError as error:
            self._close_ports(self._listeners)
            raise StartError(str(error)) from None
        self._arbiter = Arbiter(
            state.run, forkserver, _orders(settings), budget=self._budget, lockout=self._lockout, nonce_key=nonce_key
        )
        self._arbiter.report = self._report
        self._router = Router(
            self._arbiter, self._authenticator, self._lockout, limits, self._journal, certificates.policy
        )
        self._door = Door(
            self._router.serve,
            self._budget,
            self._journal,
            lambda: certificates.directory,
            handshake_timeout_s=limits.handshake_timeout_s,
        )

    async def run(self, on_ready: Callable[[], None], reload: Callable[[], Settings]) -> None:
        loop = asyncio.get_running_loop()
        stop, hang_up = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, hang_up.set)
        self._arbiter.start()
        self._accept(self._listeners)
        stopped = asyncio.create_task(stop.wait())
        settled = asyncio.create_task(self._arbiter.settled(GREETING_TIMEOUT_S))
        await asyncio.wait((stopped, settled), return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            on_ready()
        watching = asyncio.create_task(self._watch(hang_up, reload))
        await stopped
        log.info("stopping")
        for task in (settled, watching):
            task.cancel()
        await asyncio.gather(settled, watching, return_exceptions=True)

    async def close(self) -> None:
        await self._stop_accepting(self._accepting)
        self._close_ports(self._listeners)
        await asyncio.gather(self._door.close(), self._router.close(), self._arbiter.stop())

    # ------------------------------------------------------------ reload

    async def _watch(self, hang_up: asyncio.Event, reload: Callable[[], Settings]) -> None:
        """By SIGHUP, or when a file of the configuration has changed and then stayed the same for one look."""
        if not any(self._served[self._state.user_file]):  # on_ready may just have made it
            self._served[self._state.user_file] = signature(self._state.user_file)
        seen = self._served
        while True:
            told = True
            try:
                async with asyncio.timeout(FILE_CHECK_INTERVAL_S):
                    await hang_up.wait()
            except TimeoutError:
                told = False
            now = {path: signature(path) for path in self._served}
            if told or (now != self._served and now == seen):
                hang_up.clear()
                self._served = now
                await self._guarded(self._reload(reload))
            await self._guarded(self._certificates.look(time.time()))
            seen = now

    async def _guarded(self, change: Awaitable[None]) -> None:
        try:
            await change
        except Exception:  # a mistake of ours; the cameras go on
            log.exception("reload_failed")

    def _look(self, settings: Settings) -> dict[Path, Signature]:
        """All files of a configuration as they were before they were read: a change while we read is not missed."""
        return {**settings.files, self._state.user_file: signature(self._state.user_file)}

    async def _reload(self, reload: Callable[[], Settings]) -> None:
        """All of it, or nothing of it."""
        try:
            settings = reload()
            files = self._look(settings)
            await self._check_offers(settings.served)
            certificates = await self._certificates.prepare(_tls(settings), time.time())
            wanted = _ports(settings)
            leaving = [port for port in self._listeners if port not in wanted]
            added = self._bind((port for port in wanted if port not in self._listeners), leaving)
        except ConfigurationError as error:
            self._refuse([str(problem) for problem in error.problems])
            return
        except (StartError, BindError, OSError) as error:
            self._refuse([str(error)])
            return
        self._refused = []
        if settings.state_dir != self._settings.state_dir:  # all else is changed live
            log.warning("restart_needed", settings="server.state_dir")
        self._settings = settings
        self._served = {path: self._served.get(path, now) for path, now in files.items()}
        self._budget.limits = self._router.limits = limits = settings.limits
        self._door.handshake_timeout_s = limits.handshake_timeout_s
        self._lockout.set_limits(
            user_failures=limits.login_failures, window_s=limits.login_failure_window_s, lock_s=limits.lockout_s
        )
        self._authenticator.set_users(settings.users)
        self._certificates.commit(certificates)
        self._accept(added)
        await self._stop_accepting(leaving)
        self._close_ports(leaving)
        log.info("reloaded", cameras=len(settings.served), users=len(settings.users))
        await self._arbiter.apply(_orders(settings))

    def _refuse(self, problems: list[str]) -> None:
        self._refused = problems
        for problem in problems:
            log.error("reload_refused", reason=problem)

    async def _check_offers(self, cameras: Sequence[CameraSpec]) -> None:
        """Raises StartError for what this machine does not have: readers keep the picture that they see."""
        running = self._settings.served
        found = await encoders.complaints(cameras, running) + await protocols.complaints(cameras, running)
        if found:
            raise StartError("; ".join(found))

    # ------------------------------------------------------------ ports

    def _bind(self, ports: Iterable[Port], leaving: Iterable[Port] = ()) -> list[Port]:
        """Listen on all of them, or with BindError on none. Those that are `leaving` do not stand in the way."""
        added: list[Port] = []
        beside = [listener for port in leaving for listener in self._listeners[port]]
        try:
            for host, number, secure in ports:
                port = host, number, secure
                self._listeners[port] = bind([host], number, secure=secure, beside=beside)
                added.append(port)
        except BindError:
            self._close_ports(added)
            raise
        return added

    def _accept(self, ports: Iterable[Port]) -> None:
        for port in ports:
            self._accepting[port] = [
                asyncio.create_task(self._door.run(listener)) for listener in self._listeners[port]
            ]

    async def _stop_accepting(self, ports: Iterable[Port]) -> None:
        """Before their sockets are closed: the event loop watches a descriptor until its accept has ended, and the
        number may be another socket's by then."""
        tasks = [task for port in list(ports) for task in self._accepting.pop(port)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_ports(self, ports: Iterable[Port]) -> None:
        for port in list(ports):
            for listener in self._listeners.pop(port):
                listener.close()

    # ------------------------------------------------------------ status

    async def _report(self) -> bytes:
        answers = await self._arbiter.stats()
        supervisor = SupervisorStatus(
            pid=os.getpid(),
            version=importlib.metadata.version("camfleet"),
            uptime_s=round((time.monotonic_ns() - self._began_ns) / 1e9, 1),
            connections=self._budget.connections,
            turned_away=dict(self._journal.counts),
            refused=self._refused,
        )
        # In a thread: the kernel needs some milliseconds for the memory of each worker.
        cameras = await asyncio.to_thread(camera_reports, self._arbiter.registry, answers, self._settings)
        sessions = [connection.tls for connection in self._arbiter.handoffs.connections() if connection.tls]
        certificates = self._certificates.status(sessions, time.time())
        return msgspec.json.encode(StatusReport(supervisor=supervisor, cameras=cameras, certificates=certificates))


def _orders(settings: Settings) -> Orders:
    return Orders(
        cameras=settings.served,
        users=settings.users,
        orphan_timeout_s=settings.workers.orphan_timeout_s,
        silence_timeout_s=settings.workers.silence_timeout_s,
        lockout_s=settings.limits.lockout_s,
        cores=settings.cores,
        spread=settings.workers.affinity == "spread",
    )


def _ports(settings: Settings) -> list[Port]:
    numbers = [(settings.rtsp_port, False), (settings.rtsps_port, True)]
    if settings.rtsps != "off":
        numbers += [(settings.tls.identity(camera.id).rtsps_port, True) for camera in settings.served]
    return [(host, number, secure) for number, secure in numbers if number for host in settings.hosts]


def _tls(settings: Settings) -> TLSSettings | None:
    """None: no TLS."""
    return None if settings.rtsps == "off" else settings.tls
