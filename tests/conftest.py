"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A test says nothing of how fast a shared machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
