"""Until something is so."""
import time


def wait_for(check, what="it does not come", seconds=120):
    """What the check gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found
