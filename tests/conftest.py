"""What holds for all tests."""

import gc

from hypothesis import HealthCheck, settings

# A test says nothing of how fast a shared machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Spare the garbage collector thousands of tests and modules, which stay to the end: 3 % of all CPU."""
    gc.collect()
    gc.freeze()
