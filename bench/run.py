#!/usr/bin/env python3
"""Measures us and the peers, row by row, in one run.

usage: ./dev bench [--json FILE [--update]] [--machine FILE] [--threads 1,2] [--seconds S] [--rounds N]
                   [--peers NAME,...] [ROW ...]
       ./dev bench --profile [--threads N] ROW ...
       ./dev bench kernels [NAME]

Every contestant of a row is a process of its own, all held on the same N cores:

    tenon_bench ROW --threads N --inputs DIR --outputs DIR
    python bench/peers/NAME_peer.py ROW --threads N --inputs DIR --outputs DIR [--variant V]

It reads DIR/NAME.npy (bench/rows.py says which, with shapes), runs the row once and writes each result it is compared by
to outputs/NAME.npy, warms up, prints {"ready": true} and then obeys lines of standard input:

    run SECONDS    ->  {"samples_ms": [..]}     a number for each run, at least three
    quit (or end)  ->  {"peak_bytes": n}        largest resident memory

Results are compared first; then rounds go in turn through all contestants, so that a slower or faster minute of the
machine meets everyone. Figures are medians of all samples. Rows that are figures of our own:

    tenon_bench ROW --threads N                 prints {"value": v} in the row's unit

With --profile only our side runs, and says where its time goes, instruction by instruction.

The limit of a row is the larger of its arithmetic at the peak and its bytes at the bandwidth that tenon_calibrate measures
in the same run.
"""
import argparse
import importlib.metadata
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import rows as table

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(os.path.dirname(HERE), "build/release/bin")
LIMITING = ("OMP_", "OPENBLAS_", "MKL_", "GOTO_", "KMP_", "BLIS_", "NUMEXPR_", "TENON_THREADS", "XLA_FLAGS")
PATIENCE = 600  # seconds for a contestant to get ready: torch.compile tunes


class Failure(Exception):
    pass


def environment():
    """The caller's, without what limits or pins somebody's threads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(LIMITING)}
    kept["PYTHONPATH"] = os.path.join(HERE, "peers")
    return kept


class Contestant:
    def __init__(self, name, command, cores):
        self.name, self.samples = name, []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment(), preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def answer(self, key, patience=PATIENCE):
        """The next line that is JSON with that key; what else a library prints is passed over."""
        end = time.monotonic() + patience
        while True:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            line = self.process.stdout.readline() if ready else ""
            if not line:
                why = "took too long" if not ready else self.process.stderr.read().strip()[-600:]
                raise Failure(f"{self.name}: expected {key}, got: {why}")
            if line.startswith("{") and key in (message := json.loads(line)):
                return message[key]

    def run(self, seconds):
        self.process.stdin.write(f"run {seconds}\n")
        self.process.stdin.flush()
        self.samples += self.answer("samples_ms")

    def quit(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.flush()
        return self.answer("peak_bytes", 30)

    def stop(self):
        self.process.kill()
        self.process.communicate()

    def median(self):
        return statistics.median(self.samples)


def peer_command(name):
    base, _, variant = name.partition("_")
    return [sys.executable, f"{HERE}/peers/{base}_peer.py"] + (["--variant", variant] if variant else [])


def our_command():
    return [os.path.join(BIN, "tenon_bench")]


def differences(ours, theirs, tolerance):
    """What differs between two folders of results, largest error relative to the largest number."""
    found = []
    for file in sorted(os.listdir(theirs)):
        a, b = (np.load(os.path.join(folder, file)) if os.path.exists(os.path.join(folder, file)) else None
                for folder in (ours, theirs))
        if a is None or a.shape != b.shape:
            found.append(f"{file}: expected shape {b.shape}, got {None if a is None else a.shape}")
            continue
        error = float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) if a.size else 0.0
        if not error <= tolerance:
            found.append(f"{file}: expected an error of at most {tolerance}, got {error:.3g}")
    return found


def contest(row, threads, options):
    """{name: median} of all contestants of a row, and what went wrong."""
    problems, contestants = [], []
    with tempfile.TemporaryDirectory() as folder:
        inputs = os.path.join(folder, "inputs")
        os.mkdir(inputs)
        rng = np.random.Generator(np.random.Philox(7))
        for name, array in row["inputs"](rng).items():
            np.save(os.path.join(inputs, name + ".npy"), array)
        commands = {} if options.peers_only else {"ours": our_command()}
        commands.update({peer: peer_command(peer) for peer in row["peers"]})
        try:
            for name, command in commands.items():
                outputs = os.path.join(folder, name)
                os.mkdir(outputs)
                one = Contestant(name, [*command, row["name"], "--threads", str(threads), "--inputs", inputs,
                                        "--outputs", outputs], set(sorted(os.sched_getaffinity(0))[:threads]))
                contestants.append(one)
                try:
                    one.answer("ready")
                except Failure as failure:
                    problems.append(str(failure))
                    contestants.pop().stop()
            names = [c.name for c in contestants]
            for name in names[1:]:
                for what in differences(os.path.join(folder, names[0]), os.path.join(folder, name), row["tolerance"]):
                    problems.append(f"{names[0]} against {name}: {what}")
            for _ in range(options.rounds):
                for one in contestants:
                    one.run(options.seconds / options.rounds)
                    time.sleep(0.25)  # threads that spin after their work go to sleep
        except Failure as failure:
            problems.append(str(failure))
        finally:
            for one in contestants:
                one.stop()
    return {c.name: c.median() for c in contestants if c.samples}, problems


def profile(row, threads, options):
    """Runs our side alone with TENON_PROFILE, which tells where its time goes."""
    os.environ["TENON_PROFILE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        for name, array in row["inputs"](np.random.Generator(np.random.Philox(7))).items():
            np.save(os.path.join(folder, name + ".npy"), array)
        one = Contestant("ours", [*our_command(), row["name"], "--threads", str(threads), "--inputs", folder,
                                  "--outputs", folder], set(sorted(os.sched_getaffinity(0))[:threads]))
        try:
            one.answer("ready")
            one.run(options.seconds)
            one.quit()
            one.process.wait()
            print(f"{row['name']}, {threads} threads: {one.median():.4g} ms\n{one.process.stderr.read()}", flush=True)
        except Failure as failure:
            print(failure, file=sys.stderr)
            return 1
        finally:
            one.stop()
    return 0


def peak_memory(threads, options):
    """{name: bytes} of processes that train the demo network."""
    row = dict(table.ROWS["cnn_train"], name="train_memory")
    found, problems = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, array in row["inputs"](np.random.Generator(np.random.Philox(7))).items():
            np.save(os.path.join(folder, name + ".npy"), array)
        commands = {"torch": peer_command("torch")}
        if not options.peers_only:
            commands["ours"] = our_command()
        for name, command in commands.items():
            with tempfile.TemporaryDirectory() as outputs:
                one = Contestant(name, [*command, "train_memory", "--threads", str(threads), "--inputs", folder,
                                        "--outputs", outputs], set(sorted(os.sched_getaffinity(0))[:threads]))
                try:
                    one.answer("ready")
                    one.run(options.seconds)
                    found[name] = one.quit()
                except Failure as failure:
                    problems.append(str(failure))
                finally:
                    one.stop()
    return found, problems


def own_figure(row, threads, options):
    if row["name"] == "train_memory":
        found, problems = peak_memory(threads, options)
        both = len(found) == 2
        return (found["ours"] / found["torch"] if both else None), {k: v for k, v in found.items() if k != "ours"}, problems
    if options.peers_only:
        return None, {}, []
    if row["name"] == "start":
        samples = []
        for _ in range(40):
            start = time.perf_counter()
            subprocess.run([os.path.join(BIN, "tenon"), "version"], stdout=subprocess.DEVNULL, check=True)
            samples.append((time.perf_counter() - start) * 1e3)
        return statistics.median(samples), {}, []
    cores = set(sorted(os.sched_getaffinity(0))[:threads])
    done = subprocess.run([*our_command(), row["name"], "--threads", str(threads)], capture_output=True, text=True,
                          env=environment(), preexec_fn=lambda: os.sched_setaffinity(0, cores), timeout=PATIENCE)
    if done.returncode:
        return None, {}, [f"ours: {done.stderr.strip()[-600:]}"]
    return json.loads(done.stdout.strip().split("\n")[-1])["value"], {}, []


def calibrate(threads):
    cores = set(sorted(os.sched_getaffinity(0))[:threads])
    done = subprocess.run([os.path.join(BIN, "tenon_calibrate"), str(threads)], capture_output=True, text=True, check=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, cores))
    return json.loads(done.stdout)


def described_machine():
    """What figures depend on: the processor and the versions of the peers."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    versions = {"python": ".".join(str(n) for n in sys.version_info[:3])}
    for package in ("numpy", "torch", "onnxruntime", "openvino", "jax"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"cpu": names[0] if names else "unknown", "cores": len(os.sched_getaffinity(0)), "versions": versions}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def updated(path, entries):
    """The list in the file with these entries in place of those of the same row and threads."""
    new = {(e["row"], e["threads"]): e for e in entries}
    old = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            old = json.load(f)
    kept = {(e["row"], e["threads"]): e for e in old} | new
    order = list(table.ROWS)
    return sorted(kept.values(), key=lambda e: (e["threads"], order.index(e["row"])))


def measure(row, threads, machine, options):
    """One entry of the list, and what went wrong."""
    entry = {"row": row["name"], "threads": threads, "unit": row["unit"], "ours": None, "peers": {}, "limit": None,
             "ratio": None, "bar": row["bar"], "goal": row["goal"], "met": False}
    if row["figure"]:
        entry["ours"], entry["peers"], problems = own_figure(row, threads, options)
        best = row["bar"]
    else:
        medians, problems = contest(row, threads, options)
        entry["ours"] = medians.pop("ours", None)
        entry["peers"] = medians
        entry["limit"] = 1e3 * max(row["flops"] / machine["flops"], row["read"] / machine["read"] +
                                   row["written"] / machine["write"])
        best = min(medians.values(), default=None)
    if entry["ours"] is not None and best is not None:
        entry["ratio"] = best / entry["ours"]
        entry["met"] = entry["ratio"] >= (1 if row["figure"] else row["bar"]) and not problems
    for key in ("ours", "limit", "ratio"):
        entry[key] = rounded(entry[key])
    entry["peers"] = {name: rounded(value) for name, value in entry["peers"].items()}
    return entry, problems


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


HEAD = f"{'row':16}{'threads':>8}{'ours':>10} {'unit':9}{'fastest peer':>26}{'limit':>9}{'ratio':>8}{'bar':>7}{'goal':>7}  met"


def line(entry, figure):
    def text(value):
        return "-" if value is None else f"{value:g}"

    peers = entry["peers"]
    fastest = min(peers, key=peers.get) + f" {peers[min(peers, key=peers.get)]:g}" if peers else "-"
    return (f"{entry['row']:16}{entry['threads']:>8}{text(entry['ours']):>10} {entry['unit']:9}{fastest:>26}"
            f"{text(entry['limit']):>9}{text(entry['ratio']):>8}{text(entry['bar']):>7}{text(entry['goal']):>7}"
            f"  {'yes' if entry['met'] else 'no'}")


def parse():
    parser = argparse.ArgumentParser(description="rows: " + " ".join(table.ROWS))
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--update", action="store_true", help="keep what FILE has of other rows")
    parser.add_argument("--machine", metavar="FILE", help="where to write what figures depend on")
    parser.add_argument("--threads", default="1,2", help="counts to measure (default 1,2)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each contestant of a row, over all rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="only our side, instruction by instruction")
    parser.add_argument("--peers-only", action="store_true", help="leave ourselves out")
    parser.add_argument("--peers", help="only these peers, comma-separated")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    options = parser.parse_args()
    if options.rows[:1] == ["kernels"]:
        return options
    unknown = [r for r in options.rows if r not in table.ROWS]
    if unknown:
        parser.error(f"expected rows of {' '.join(table.ROWS)} or kernels, got {' '.join(unknown)}")
    return options


def main():
    options = parse()
    if options.rows[:1] == ["kernels"]:
        one_thread = {**environment(), "OMP_NUM_THREADS": "1"}  # oneDNN's
        return subprocess.run([os.path.join(BIN, "tenon_kernels"), *options.rows[1:]], env=one_thread,
                              check=False).returncode
    counts = [int(n) for n in options.threads.split(",")]
    if options.profile:
        return max(profile(table.ROWS[name], counts[-1], options) for name in options.rows)
    cores = len(os.sched_getaffinity(0))
    entries, wrong = [], 0
    print(HEAD, flush=True)
    for threads in counts:
        if threads > cores:
            print(f"{threads} threads: expected at least as many cores, got {cores}", file=sys.stderr)
            wrong += 1
            continue
        machine = calibrate(threads)
        for row in table.ROWS.values():
            if (options.rows and row["name"] not in options.rows) or threads not in row["threads"]:
                continue
            if options.peers:
                row = dict(row, peers=[p for p in row["peers"] if p in options.peers.split(",")])
            entry, problems = measure(row, threads, machine, options)
            entries.append(entry)
            print(line(entry, row["figure"]), flush=True)
            for problem in problems:
                print(f"  {problem}", file=sys.stderr, flush=True)
            wrong += bool(problems)
    if options.json:
        write_json(options.json, updated(options.json, entries) if options.update else entries)
    if options.machine:
        write_json(options.machine, described_machine())
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
