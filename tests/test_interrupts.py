import signal
import threading

import pytest

from harness.interrupts import first_interrupt_held


def test_work_that_nothing_interrupts():
    with first_interrupt_held() as interrupted:
        assert interrupted() is False
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def interruption(work):
    """The interrupt that work ended with."""
    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return caught.value


def test_the_first_is_held_until_the_end():
    steps = []

    def work():
        with first_interrupt_held() as interrupted:
            signal.raise_signal(signal.SIGINT)
            steps.append(interrupted())

    assert interruption(work).__cause__ is None
    assert steps == [True]


def test_the_second_arrives_at_once():
    steps = []

    def work():
        with first_interrupt_held():
            signal.raise_signal(signal.SIGINT)
            steps.append("held")
            signal.raise_signal(signal.SIGINT)
            steps.append("passed over")

    interruption(work)
    assert steps == ["held"]


def test_work_that_fails_after_it_is_interrupted():
    def work():
        with first_interrupt_held():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("of the work")

    assert str(interruption(work).__cause__) == "of the work"


def test_an_error_of_the_work_is_its_own():
    with pytest.raises(ValueError, match="of the work"), first_interrupt_held():
        raise ValueError("of the work")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_someone_else_stays():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append("theirs"))
    try:
        with first_interrupt_held() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert interrupted() is False
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["theirs"]


def test_other_threads_have_no_handlers():
    found = []

    def work():
        with first_interrupt_held() as interrupted:
            found.append((interrupted(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, signal.default_int_handler)]
