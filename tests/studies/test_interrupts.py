"""Holding interrupts back: delivered late, in full, once."""

import signal
import threading

import pytest

from studies.interrupts import HeldInterrupts, came_of


def test_an_interrupt_is_raised_where_it_is_let_through() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupts() as held:
        signal.raise_signal(signal.SIGINT)
        reached.append("after the signal")
        with held.let_through():
            reached.append("let through")
        reached.append("after its release")
    assert reached == ["after the signal"]


def test_after_the_block_that_lets_interrupts_through_they_are_held_again() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupts() as held:
        with held.let_through():
            reached.append("let through")
        signal.raise_signal(signal.SIGINT)
        reached.append("held")
    assert reached == ["let through", "held"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_the_handling_of_an_interrupt_came_of_it() -> None:
    def stumble() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError

    with pytest.raises(UnboundLocalError) as raised:
        stumble()
    assert came_of(raised.value, KeyboardInterrupt) and not came_of(UnboundLocalError(), KeyboardInterrupt)


def test_an_interrupt_that_nothing_lets_through_is_raised_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), HeldInterrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_interrupt_is_not_held() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupts():
        signal.raise_signal(signal.SIGINT)
        reached.append("after the first")
        signal.raise_signal(signal.SIGINT)
        reached.append("after the second")
    assert reached == ["after the first"]


def test_signals_that_no_python_function_handles_keep_their_way() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with HeldInterrupts():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_nothing_is_held() -> None:
    handlers = []

    def look() -> None:
        with HeldInterrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
