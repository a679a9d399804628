"""Calls into the drivers of graphics cards: they may raise, take seconds, or never return.

    DriverThread        one for each open encoder: its calls, each waited for with a deadline
    in_turn             one for the process: what takes so long that nobody waits for it (probing, opening, giving back)

A call that hangs cannot be ended, only left, with its thread and all that it holds. So while one hangs no further
encoder of that name is opened. (A driver that crashes ends the process at once: the supervisor starts another.)
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from queue import Empty, SimpleQueue
from typing import TypeVar

from camfleet.core.log import Log

from .errors import EncoderError

log = Log("encoders")

T = TypeVar("T")

# Calls that nobody waits for any more, by where their answers go, and whose they are: two streams may have the same.
_hanging: dict[object, str] = {}


class DriverThread:
    """Makes calls one after the other, until it hangs in one."""

    def __init__(self, name: str) -> None:
        """Raises EncoderError while a call of another one of this name hangs: each try would leave a thread behind."""
        if name in tuple(_hanging.values()):
            raise EncoderError(f"{name}: another call of the driver still hangs in this process")
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True).start()

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """What it returns. Raises EncoderError for whatever goes wrong in a driver, and when it takes too long."""
        return self._wait(self._order(function), timeout_s)

    def end(self) -> None:
        """After what it is doing; if it hangs, never."""
        self._calls.put(None)

    def give_back(self, close: Callable[[], None], timeout_s: float) -> None:
        """The last call. Who opens an encoder in its turn does so when this one is back: a card may have but one."""
        answers = self._order(close)
        self.end()

        def wait() -> None:
            try:
                self._wait(answers, timeout_s)
            except EncoderError as error:
                log.warning("encoder_not_closed", reason=str(error))

        in_turn(wait)

    def _order(self, function: Callable[[], T]) -> SimpleQueue[T | Exception]:
        answers: SimpleQueue[T | Exception] = SimpleQueue()

        def answer() -> None:
            try:
                answers.put(function())
            except Exception as error:
                answers.put(error)
            _hanging.pop(answers, None)

        self._calls.put(answer)
        return answers

    def _wait(self, answers: SimpleQueue[T | Exception], timeout_s: float) -> T:
        try:
            result = answers.get(timeout=timeout_s)
        except Empty:
            _hanging[answers] = self._name
            if answers.empty():
                raise EncoderError(f"{self._name}: no answer of the driver within {timeout_s:g} s") from None
            _hanging.pop(answers, None)  # it came in between
            result = answers.get()
        if isinstance(result, EncoderError):
            raise result
        if isinstance(result, Exception):
            raise EncoderError(f"{self._name}: {type(result).__name__}: {result}") from result
        return result


def in_turn(function: Callable[[], T]) -> Future[T]:
    """Called in a thread of its own when all that was ordered before is done, unless it is cancelled by then."""
    future: Future[T] = Future()

    def turn() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

    _turns().put(turn)
    return future


@cache
def _turns() -> SimpleQueue[Callable[[], None] | None]:
    """The thread stays: it is one, however often readers come while a driver hangs."""
    calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    threading.Thread(target=_work, args=(calls,), name="encoders in turn", daemon=True).start()
    return calls


def _work(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        call()
