#!/usr/bin/env python3
"""Runs the fuzzer on each target, or those named: with libFuzzer where the build has it, else with its own mutator.

usage: tools/fuzz.py [--build DIR] [--seconds N] [TARGET ...]

Findings are written to BUILD/findings/TARGET; each finding that is mended becomes a seed.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SEEDS = os.path.join(ROOT, "tests/fuzz/seeds")
LIMITS = ["-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-timeout=10", "-max_len=65536"]


def uses_libfuzzer(build):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as f:
        return re.search(r"^TENON_FUZZ:\w+=(ON|TRUE|1)$", f.read(), re.MULTILINE) is not None


def more_seeds(target):
    """Models of every operator, for the importer: each fifth of the backend cases; refused ones are welcome too."""
    if target != "onnx_model":
        return []
    return sorted(glob.glob(os.path.join(ROOT, "build/proto/onnx/backend/test/data/node/*/model.onnx")))[::5]


def command(build, target, seconds):
    seeds, findings = os.path.join(SEEDS, target), os.path.join(build, "findings", target)
    os.makedirs(findings, exist_ok=True)
    fuzzer = [os.path.join(build, "bin/fuzzer"), target]
    if not uses_libfuzzer(build):
        return fuzzer + [seeds, *more_seeds(target), "--seconds", str(seconds), "--findings", findings]
    corpus = os.path.join(build, "corpus", target)
    os.makedirs(corpus, exist_ok=True)
    more = [f"-seed_inputs={','.join(more_seeds(target))}"] if more_seeds(target) else []
    return fuzzer + LIMITS + [f"-max_total_time={seconds}", f"-artifact_prefix={findings}/", "-print_final_stats=1",
                              *more, corpus, seeds]


def run(build, target, seconds):
    environment = dict(os.environ, TENON_CACHE_DIR="off", TENON_THREADS="1")
    done = subprocess.run(command(build, target, seconds), env=environment, capture_output=True, text=True,
                          errors="replace")
    said = done.stdout + done.stderr
    runs = re.search(r"number_of_executed_units: (\d+)|(\d+) mutations", said)
    print(f"{target}: {next(filter(None, runs.groups())) if runs else 'no'} inputs, "
          f"{'no finding' if done.returncode == 0 else 'A FINDING'}", flush=True)
    if done.returncode != 0:
        print("\n".join(said.splitlines()[-60:]), flush=True)
    return done.returncode == 0


def main():
    known = sorted(os.listdir(SEEDS))
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/fuzz"))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("targets", nargs="*", help="default: all of " + " ".join(known))
    options = parser.parse_args()
    unknown = [t for t in options.targets if t not in known]
    if unknown:
        parser.error(f"expected targets among {' '.join(known)}, got {' '.join(unknown)}")
    jobs = int(os.environ.get("TENON_JOBS", os.cpu_count() or 1))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda t: run(options.build, t, options.seconds), options.targets or known))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
