"""The command line: `camfleet serve | check | status | replace | cert | password | encoders | bench`.

Exit codes: 0 done, 1 what was asked cannot be done (the reason is on stderr), 2 wrong usage, 130 interrupted.
Results go to stdout, the log to stderr. Imports that cost time stand in the command that needs them.
"""

import argparse
import asyncio
import importlib.metadata
import os
import sys
from pathlib import Path

import msgspec
from camfleet.core import log

from . import StartError, cert_changes, cert_commands, cert_create, cert_views, encoders, protocols
from .commands import command, where
from .config import ConfigurationError, Settings, load, state_dir_in
from .credentials import GENERATED_USER, generate_password, user_spec
from .greeting import greeting
from .state import StateFolder, default_state_dir
from .status import parse, render

STDOUT, STDERR = 1, 2  # descriptors


def main(argv: list[str] | None = None) -> int:
    _open_missing_streams()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except ConfigurationError as error:
        _complain(*(str(problem) for problem in error.problems))
    except StartError as error:
        _complain(f"camfleet: {error}")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `camfleet status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["bench"]:  # has options of its own
        from camfleet.bench.load import main as bench

        return bench(arguments[1:])
    options = _parser().parse_args(arguments)
    code: int = options.command(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="camfleet", description="Virtual IP cameras over RTSP and RTSPS.")
    parser.add_argument("--version", action="version", version=f"camfleet {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    new = where("configuration file; without one: a test camera")
    running = where("the server's configuration file, if it has one")

    serve = command(commands, "serve", "serve the cameras until Ctrl-C or SIGTERM", (new,))
    serve.add_argument("--host", action="append", metavar="ADDRESS", help="listen here (may be repeated)")
    serve.add_argument("--rtsp-port", type=int, metavar="PORT", help="port of plain RTSP, 0 = closed")
    serve.add_argument("--rtsps-port", type=int, metavar="PORT", help="port of RTSP over TLS, 0 = closed")
    serve.add_argument("--log-level", choices=log.LEVELS, default="info", help="the least that is logged; else info")
    serve.set_defaults(command=_serve)

    check = command(commands, "check", "say everything that is wrong with a configuration file")
    check.add_argument("file", type=Path, metavar="FILE", help="it is only read")
    check.add_argument("--state-dir", type=Path, metavar="DIR", help="as of serve: its certificates are looked at, too")
    check.set_defaults(command=_check)

    status = command(commands, "status", "show cameras, workers, streams and readers of the running server", (running,))
    status.add_argument("--json", action="store_true", help="for scripts")
    status.set_defaults(command=_status)

    replace = command(
        commands, "replace", "give cameras fresh workers, of the code now installed; no reader is cut", (running,)
    )
    replace.add_argument("cameras", nargs="*", metavar="CAMERA", help="its id")
    replace.add_argument("--all", action="store_true", help="all cameras, one after the other")
    replace.set_defaults(command=_replace)

    cert = cert_commands.add(commands, running)
    cert_changes.add(cert, running)
    cert_create.add(cert, running)
    cert_views.add(cert, running)

    password = command(commands, "password", "give the generated user a new password, and show it once", (running,))
    password.add_argument("user", nargs="?", metavar="USER", help="the generated user; there is only one")
    password.set_defaults(command=_password)

    tried = command(commands, "encoders", "try all video encoders, and say why one fails", (running,))
    tried.set_defaults(command=_encoders)

    commands.add_parser("bench", help="load a server with readers and measure it", add_help=False)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from . import app

    given = {"host": options.host, "rtsp_port": options.rtsp_port, "rtsps_port": options.rtsps_port}
    overrides = {key: value for key, value in given.items() if value is not None}
    settings = load(options.config, overrides)
    state = _state(options, settings)
    state.prepare()
    generated = not settings.users
    password = generate_password() if generated and not state.user() else ""
    new_user = user_spec(GENERATED_USER, password) if password else None

    def current() -> Settings:
        """What the file and the state folder say now."""
        settings = load(options.config, overrides)
        user = state.user() or new_user
        return settings if settings.users or not user else msgspec.structs.replace(settings, users=(user,))

    def on_ready() -> None:
        if new_user:  # kept only now: a start that failed has shown it to nobody
            state.save_user(new_user)
        shown = "" if _stdout_is_journal() else password
        try:
            print(greeting(settings, state, generated=generated, password=shown), flush=True)
        except OSError as error:  # a full disk or a closed pipe is no reason to serve no camera
            log.Log("cli").warning("greeting_not_shown", reason=error.strerror)

    log.configure(options.log_level)
    settings = current()
    return asyncio.run(app.serve(settings, state, on_ready, current))


def _open_missing_streams() -> None:
    """One that is closed becomes /dev/null: what a library writes to stderr must not reach a client's socket."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout, sys.stderr = sys.stdout or os.fdopen(STDOUT, "w"), sys.stderr or os.fdopen(STDERR, "w")


def _stdout_is_journal() -> bool:
    """No secret in a log: systemd.exec(5) tells by JOURNAL_STREAM that stdout is one."""
    stdout = os.fstat(STDOUT)
    return os.environ.get("JOURNAL_STREAM") == f"{stdout.st_dev}:{stdout.st_ino}"


def _check(options: argparse.Namespace) -> int:
    from .certs import Store
    from .certs.advice import remarks
    from .certs.files import configured_files

    settings = load(options.file)
    streams = sum(len(camera.streams) for camera in settings.cameras)
    counts = ((len(settings.cameras), "camera"), (streams, "stream"), (len(settings.users), "user"))
    certs = _state(options, settings).certs
    found = list(remarks(settings, Store(certs, configured_files(settings.tls.identities, certs))))
    blocks = [each.text for each in found if each.blocks]
    if blocks := blocks + asyncio.run(_complaints(settings)):
        raise StartError("\ncamfleet: ".join(blocks))
    print(f"{options.file}: good; " + ", ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts))
    for each in found:
        print(f"warning: {each.text}")
    return 0


async def _complaints(settings: Settings) -> list[str]:
    return await encoders.complaints(settings.cameras) + await protocols.complaints(settings.cameras)


def _status(options: argparse.Namespace) -> int:
    from .arbiter.bus import query_status

    report = query_status(_running(options).run)
    if options.json:
        print(msgspec.json.format(report).decode())
    else:
        print(render(parse(report)))
    return 0


def _replace(options: argparse.Namespace) -> int:
    from .arbiter.bus import ask_to_replace, query_status

    if bool(options.cameras) == options.all:
        raise StartError("name the cameras to give a fresh worker, or say --all")
    run_dir = _running(options).run
    enabled = [camera.id for camera in parse(query_status(run_dir)).cameras if camera.state != "disabled"]
    failed = False
    for camera in options.cameras or enabled:
        answer = ask_to_replace(run_dir, camera)
        if answer.problem:
            failed = True
            _complain(f"camfleet: {camera}: not replaced: {answer.problem}")
        else:
            print(f"{camera}: worker {answer.pid} serves now; connections moved: {answer.sessions}", flush=True)
    return int(failed)


def _password(options: argparse.Namespace) -> int:
    settings = load(options.config)
    if settings.users:
        raise StartError(f"the users are configured in {settings.file}; their passwords are changed there")
    state = _state(options, settings)
    state.prepare()
    before = state.user()
    name = before.name if before else GENERATED_USER
    if options.user not in (None, name):
        raise StartError(f'there is no user "{options.user}"; the generated user is "{name}"')
    password = generate_password()
    state.save_user(user_spec(name, password))
    print(f"User {name}, password {password}\nIt is shown only this once. A running server takes it at once.")
    return 0


def _encoders(options: argparse.Namespace) -> int:
    return encoders.show(_running(options).run)


def _running(options: argparse.Namespace) -> StateFolder:
    """Of a server that goes on whatever mistakes its file has now."""
    return _folder(options.state_dir or (state_dir_in(options.config) if options.config else None))


def _state(options: argparse.Namespace, settings: Settings) -> StateFolder:
    return _folder(options.state_dir or settings.state_dir)


def _folder(given: Path | None) -> StateFolder:
    return StateFolder(given or default_state_dir(os.environ, os.geteuid()))


def _version() -> str:
    return importlib.metadata.version("camfleet")


def _complain(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
