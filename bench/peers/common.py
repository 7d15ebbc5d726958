"""What peers share: they load inputs, run the row once, write outputs, then time rounds on request. See bench/run.py."""
import argparse
import glob
import json
import os
import resource
import sys
import time

import numpy as np


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("row")
    parser.add_argument("--variant", default="")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--outputs", required=True)
    return parser.parse_args()


def load(folder):
    return {os.path.basename(path)[:-4]: np.load(path) for path in glob.glob(os.path.join(folder, "*.npy"))}


def serve(options, run, outputs):
    """run(): one timed run, finished when it returns. outputs(): name -> array, called once before timing."""
    start = time.perf_counter()
    for name, array in outputs().items():
        np.save(os.path.join(options.outputs, name + ".npy"), np.ascontiguousarray(array))
    for _ in range(3):
        run()
    say({"ready": True, "prepare_s": round(time.perf_counter() - start, 3)})
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        say({"samples_ms": rounds(run, float(words[1]))})
    say({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})


def rounds(run, seconds):
    """Times of runs until that many seconds passed, at least three; short runs are timed in groups."""
    start = time.perf_counter()
    run()
    once = max(time.perf_counter() - start, 1e-7)
    group = max(1, int(50e-6 / once))
    samples, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples) < 3:
        start = time.perf_counter()
        for _ in range(group):
            run()
        samples.append((time.perf_counter() - start) / group * 1e3)
    return samples


def say(message):
    print(json.dumps(message), flush=True)
