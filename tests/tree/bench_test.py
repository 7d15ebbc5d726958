#!/usr/bin/env python3
"""The benchmark runs: tenon_bench obeys the words of bench/run.py, and where a Python with numpy is at hand the driver
measures rows without peers. Nothing is timed, nothing is installed.

usage: tests/tree/bench_test.py BUILD
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(os.path.abspath(sys.argv[1]), "bin/tenon_bench")
PATIENCE = 300
failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)


def save_npy(path, shape):
    """Rows of 0, 1, 2 ... as f32."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * ((-len(header) - 11) % 64) + "\n"
    count = shape[0] * shape[1]
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        f.write(struct.pack(f"<{count}f", *[float(i % shape[1]) for i in range(count)]))


def check_protocol(folder):
    """A contestant: ready, samples on request, peak memory at the end, results in files."""
    save_npy(os.path.join(folder, "x.npy"), (4, 8))
    done = subprocess.run([BENCH, "softmax", "--threads", "1", "--inputs", folder, "--outputs", folder],
                          input="run 0.01\nquit\n", capture_output=True, text=True, timeout=PATIENCE)
    expect(done.returncode == 0, f"softmax: expected exit 0, got {done.returncode}: {done.stderr}")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    expect([sorted(m)[-1] for m in messages] == ["ready", "samples_ms", "peak_bytes"], f"softmax: got {done.stdout}")
    expect(len(messages[1].get("samples_ms", [])) >= 3, "softmax: expected at least three samples")
    with open(os.path.join(folder, "y.npy"), "rb") as f:
        values = struct.unpack("<32f", f.read()[-128:])
    expect(abs(sum(values[:8]) - 1) < 1e-5 and values[7] > values[0], f"softmax: got {values[:8]}")


def check_figures():
    done = subprocess.run([BENCH, "eager_add", "--threads", "1"], capture_output=True, text=True, timeout=PATIENCE)
    expect(done.returncode == 0 and json.loads(done.stdout)["value"] > 0, f"eager_add: got {done.stdout}{done.stderr}")
    done = subprocess.run([BENCH, "nothing"], capture_output=True, text=True, timeout=PATIENCE)
    expect(done.returncode == 1 and "expected a row" in done.stderr, f"an unknown row: got {done.stderr}")


def python_with_numpy():
    for python in (os.path.join(os.environ.get("TENON_VENV", os.path.join(ROOT, ".venv")), "bin/python"), sys.executable):
        if os.path.exists(python) and not subprocess.run([python, "-c", "import numpy"], capture_output=True).returncode:
            return python
    return None


def check_driver(python, folder):
    """The driver on two rows without peers, and its list of rows against ours."""
    out = os.path.join(folder, "rows.json")
    done = subprocess.run([python, "bench/run.py", "--threads", "1", "--seconds", "0.02", "--rounds", "1", "--peers", "none",
                           "--json", out, "--machine", os.path.join(folder, "machine.json"), "bmm", "eager_add"], cwd=ROOT,
                          capture_output=True, text=True, timeout=PATIENCE, check=False)
    expect(done.returncode == 0, f"bench/run.py: expected exit 0, got {done.returncode}: {done.stderr}")
    with open(out, encoding="utf-8") as f:
        entries = json.load(f)
    keys = ["row", "threads", "unit", "ours", "peers", "limit", "ratio", "bar", "goal", "met"]
    expect([list(e) for e in entries] == [keys, keys], f"bench/run.py: expected entries of {keys}, got {entries}")
    expect(all(e["ours"] and e["ours"] > 0 for e in entries), f"bench/run.py: expected figures, got {entries}")
    have = set(subprocess.run([BENCH, "rows"], capture_output=True, text=True, check=True).stdout.split()) | {"start"}
    listed = subprocess.run([python, "-c", "import rows; print(*rows.ROWS)"], cwd=os.path.join(ROOT, "bench"),
                            capture_output=True, text=True, check=True).stdout.split()
    expect(have == set(listed), f"rows: bench/rows.py and tenon_bench differ in {sorted(have ^ set(listed))}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_protocol(folder)
    check_figures()
    if python := python_with_numpy():
        with tempfile.TemporaryDirectory() as folder:
            check_driver(python, folder)
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
