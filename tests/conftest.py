"""Tests take one thread of torch: steps as small as theirs gain nothing from more."""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "300s")  # workers start slowly, too

# A busy machine is slow, and no test is about that.
settings.register_profile("gmaug", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gmaug")
