"""Holding back Ctrl-C for a moment: between the making of a trial and the news of its number nothing may be cut.

A worker that is interrupted there would leave a trial that nobody knows of and that counts as running, until another
worker misses its heartbeat a minute later.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_Handler = Callable[[int, FrameType | None], object]


class HeldInterrupts:
    """Holds SIGINT and SIGTERM back from `with` until `release`, or until the block ends.

    Only signals that a Python function handles are held, and only in the main thread, where Python delivers them. A
    second signal is not held: who presses Ctrl-C twice does not want to wait.

    Examples:
        >>> with HeldInterrupts() as held:
        ...     number = 7  # an interrupt that falls here ...
        ...     held.release()  # ... is raised here
    """

    def __init__(self) -> None:
        self._handlers: dict[int, _Handler] = {}
        self._received: int | None = None

    def __enter__(self) -> HeldInterrupts:
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in _SIGNALS}
            self._handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
            for number in self._handlers:
                signal.signal(number, self._hold)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Lets signals through again, first the one that was held back.

        Raises:
            KeyboardInterrupt: If one was, and its handler raises that, as Python's own does.
        """
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
            self.release()
