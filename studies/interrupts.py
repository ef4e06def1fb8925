"""Holding back Ctrl-C: a trial may be cut while its candidate is trained, and nowhere else.

A worker that is interrupted after a trial was made but before its number was reported would leave a trial that nobody
knows of; it would count as running until another worker notices, a minute later, that its heartbeat has stopped. A
worker that is interrupted while Optuna writes a result would lose the result: `optuna.Study.optimize` then fails on a
variable that has no value yet.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_Handler = Callable[[int, FrameType | None], object]


class HeldInterrupts:
    """Holds SIGINT and SIGTERM back until its block ends, save where `let_through` lets them pass.

    Only signals that a Python function handles are held, and only in the main thread, where Python delivers them. A
    second signal is not held back: whoever presses Ctrl-C twice does not want to wait.

    Examples:
        >>> with HeldInterrupts() as held:
        ...     number = 7  # an interrupt that falls here ...
        ...     with held.let_through():
        ...         square = number**2  # ... is raised here, and one that falls here, too
        ...     result = square  # one that falls here is raised when the block ends
    """

    def __init__(self) -> None:
        self._handlers: dict[int, _Handler] = {}
        self._received: int | None = None

    def __enter__(self) -> HeldInterrupts:
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Lets signals through for the length of a block, first the one that was held back.

        Raises:
            KeyboardInterrupt: If one was, or one falls into the block, and its handler raises that, as Python's does.
        """
        try:
            self._release()
            yield
        finally:
            self._take()

    def _take(self) -> None:
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in _SIGNALS}
            self._handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
            for number in self._handlers:
                signal.signal(number, self._hold)

    def _release(self) -> None:
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        received, self._received = self._received, None
        if received is not None:
            handlers[received](received, None)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        is_second = self._received is not None
        self._received = number
        if is_second:
            self._release()


def came_of(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether an error is of a kind, or was raised while one of that kind was handled.

    Examples:
        >>> came_of(KeyboardInterrupt(), KeyboardInterrupt), came_of(ValueError(), KeyboardInterrupt)
        (True, False)
    """
    while error is not None and not isinstance(error, kind):
        error = error.__context__
    return error is not None
