"""Locks after a fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FORKING = """
import os, threading, warnings
import numpy as np
import saliency

warnings.simplefilter("ignore")  # newer Pythons warn of forks in processes with threads, which this test does
model = saliency.adapt(lambda images: images.mean((1, 2)))
held, done = threading.Event(), threading.Event()

def hold():
    with model.lock:
        held.set()
        done.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
if child := os.fork():
    _, status = os.waitpid(child, 0)
    done.set()
    raise SystemExit(os.waitstatus_to_exitcode(status))
exp = saliency.explain(model, np.zeros((8, 8, 3), np.uint8), "occlusion", 0, size=4, stride=4, progress=False)
os._exit(0 if exp.mask.shape == (8, 8) else 1)
"""


def test_a_forked_child_finds_locks_free(checkout: Path) -> None:
    """A process forked while another thread holds a model's lock can explain that model."""
    subprocess.run([sys.executable, "-c", FORKING], check=True, cwd=checkout, timeout=1200)
