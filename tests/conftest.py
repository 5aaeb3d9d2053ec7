"""Tests take one thread of torch: steps as small as theirs gain nothing from more."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
