"""Kills and errors at each step that a change of files takes: every call that changes the disk is a step."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

STEPS = ("open", "write", "fsync", "fchmod", "rename", "unlink", "mkdir", "rmdir")
KILLED = 9


class Steps:
    """Counts the steps; `at(step, name)` is called before each and may end it."""

    def __init__(self, at: Callable[[int, str], None]) -> None:
        self.count = 0
        self._at = at

    def patch(self, patcher: pytest.MonkeyPatch) -> None:
        for name in STEPS:
            patcher.setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            try:
                self._at(self.count, name)
            except BaseException:
                if name == "write":  # a disk is full in the middle
                    function(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise
            return function(*arguments, **options)

        return step


def killed_at_each_step(change: Callable[[], object], prepare: Callable[[], None]) -> Iterator[int]:
    """Prepares, makes the change in a process that dies before its nth step, and yields n; until it gets through."""
    step = 0
    while True:
        step += 1
        prepare()
        child = os.fork()
        if child == 0:
            _die_in(change, step)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, KILLED), f"step {step}: exit code {code}"
        yield step
        if code == 0:
            return


def _die_in(change: Callable[[], object], step: int) -> None:
    class Killed(BaseException):
        pass

    def at(number: int, name: str) -> None:
        if number == step:
            if name != "write":
                os._exit(KILLED)
            raise Killed  # to write one half

    code = 1
    try:
        with pytest.MonkeyPatch.context() as patcher:
            Steps(at).patch(patcher)
            write = os.write

            def write_or_die(descriptor: int, data: bytes) -> int:
                try:
                    return write(descriptor, data)
                except Killed:
                    os._exit(KILLED)

            patcher.setattr(os, "write", write_or_die)
            change()
        code = 0
    finally:
        os._exit(code)


def failing_at_each_step(
    change: Callable[[], object], prepare: Callable[[], None], error: Callable[[], OSError]
) -> Iterator[tuple[int, Exception | None]]:
    """The same with an error of the file system, once; yields n and what the change has raised."""
    step = 0
    while True:
        step += 1
        prepare()

        def at(number: int, _: str, wanted: int = step) -> None:
            if number == wanted:
                raise error()

        raised: Exception | None = None
        with pytest.MonkeyPatch.context() as patcher:
            steps = Steps(at)
            steps.patch(patcher)
            try:
                change()
            except Exception as caught:
                raised = caught
        yield step, raised
        if steps.count < step:
            return
