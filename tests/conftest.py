"""Tests take one thread of torch: steps as small as theirs gain nothing from more."""

import os

# Two also meet a fault of torch: the backward pass of an 8-channel ResNet18 over 9 images ends the process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
