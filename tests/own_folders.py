"""Folders of tiny images, and commands that are killed in the middle."""

import multiprocessing
import os
import random
import signal
import time

from blobs import blobs
from PIL import Image

MODULES = [
    "gmaug.balance", "gmaug.compare", "gmaug.classifiers.resnet", "gmaug.generators.cgan",
    "gmaug.generators.quality", "imblearn.utils", "matplotlib.figure", "sklearn.metrics", "torch",
]  # fmt: skip


def make_folder(root, counts=(24, 12, 8), *, names=None, seed=0):
    """``root/c0/000.png``, ...: blobs of 16 px, so many of each class."""
    images, labels = blobs(counts, seed=seed)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / (f"c{label}" if names is None else names[label])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return root


def killed_and_finished(call, *arguments, kills=5, seed=0, longest):
    """Run `call` in a process, kill it so often within `longest` seconds of its start, then let it end.

    Processes come from a server that has the modules loaded, so that the moments are those of the work.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    moments, dead = random.Random(seed), 0
    for number in range(kills + 1):
        process = context.Process(target=call, args=arguments)
        process.start()
        if number < kills:
            time.sleep(moments.uniform(0.05, 1.0) * longest)
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                dead += 1
        process.join()
    return process.exitcode, dead


def alone(call, *arguments):
    """Run `call` in such a process, uninterrupted; how long it took."""
    killed_and_finished(time.sleep, 0, kills=0, longest=0)  # the server loads its modules
    begun = time.perf_counter()
    assert killed_and_finished(call, *arguments, kills=0, longest=0)[0] == 0
    return time.perf_counter() - begun
