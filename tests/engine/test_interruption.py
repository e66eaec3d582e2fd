import os
import signal
import time

import pytest

from medwsss.engine.interruption import Interruption


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_interrupts(stop: signal.Signals) -> None:
    before = signal.getsignal(stop)
    with Interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), stop)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), stop)
    assert signal.getsignal(stop) is before


@pytest.mark.parametrize(("stop", "ends"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_forked_process_ends_with_sigterm_and_leaves_ctrl_c_to_its_parent(stop: signal.Signals, ends: bool) -> None:
    with Interruption() as interruption:
        child = os.fork()
        if child == 0:
            time.sleep(0.5)
            os._exit(0)
        time.sleep(0.1)
        os.kill(child, stop)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == (-signal.SIGTERM if ends else 0)
        assert not interruption.requested
