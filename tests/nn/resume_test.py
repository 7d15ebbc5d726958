"""A training run is killed at random moments, some inside the write of its checkpoint, and resumed: it ends with the
bits of an undisturbed one. SIGINT, a full disk and a folder that cannot be written leave the checkpoint that was there.

usage: resume_test.py RESUME_PROGRAM
"""
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

STEPS = 150
KILLS_BY_CLOCK, KILLS_BY_CALL = 12, 8


class Run:
    """One training run in a folder of its own, in as many processes as it takes."""

    def __init__(self, program, folder, name):
        self.program, self.folder = program, os.path.join(folder, name)
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "run.safetensors")

    def start(self, *fault, **options):
        return subprocess.Popen([self.program, self.path, str(STEPS), *fault], stderr=subprocess.PIPE, text=True, **options)

    def finish(self):
        process = self.start()
        error = process.communicate()[1]
        if process.returncode:
            sys.exit(f"a run ended with {process.returncode}: {error}")
        return self.bytes()

    def bytes(self):
        with open(self.path, "rb") as f:
            return f.read()


def expect(condition, what):
    if not condition:
        sys.exit(f"expected {what}")


def killed_runs(program, folder, want, seconds):
    """Runs until all kills are done; each run that reaches its end is compared with `want`."""
    dice = random.Random(4)
    calls = [(call, dice.randrange(1, 8)) for call in ("write", "write", "write", "write", "fsync", "fsync", "rename", "rename")]
    plans = [("clock", dice.uniform(0, seconds)) for _ in range(KILLS_BY_CLOCK)] + calls
    dice.shuffle(plans)
    done, inside, number, run = 0, 0, 0, None
    while plans:
        run = run or Run(program, folder, f"killed{number}")
        call, moment = plans[-1]
        process = run.start() if call == "clock" else run.start(call, str(moment))
        if call == "clock":
            time.sleep(moment)
            process.kill()
        error = process.communicate()[1]
        if process.returncode == -signal.SIGKILL:
            plans.pop()
            done += 1
            inside += call != "clock"
            continue
        expect(process.returncode == 0, f"a run that is killed or ends well, got {process.returncode}: {error}")
        expect(run.bytes() == want, "the bits of an undisturbed run")
        number, run = number + 1, None
        plans[-1] = (call, moment * 0.7 if call == "clock" else 1)  # it came too late
    expect(run.finish() == want, "the bits of an undisturbed run")
    expect(os.listdir(run.folder) == ["run.safetensors"], "nothing beside the checkpoint")
    print(f"{done} kills, {inside} of them inside a write, over {number + 1} runs: the bits are those of an undisturbed run")


def interrupted(program, folder, want):
    run = Run(program, folder, "interrupted")
    process = run.start()
    while not os.path.exists(run.path) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.communicate()
    expect(process.returncode in (-signal.SIGINT, 0), f"a run that SIGINT ends, got {process.returncode}")
    expect(run.finish() == want, "the checkpoint to be valid after SIGINT")


def full_disk(program, folder):
    """The limit on a file's size stands for a disk without room."""
    run = Run(program, folder, "full")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    process = run.start(preexec_fn=limit)
    error = process.communicate()[1]
    expect(process.returncode == 1 and "run.safetensors' cannot be written: File too large" in error,
           f"an error that names file and cause, got {process.returncode}: {error}")
    expect(os.listdir(run.folder) == [], "nothing half-written")


def read_only(program):
    process = subprocess.Popen([program, "/sys/run.safetensors", str(STEPS)], stderr=subprocess.PIPE, text=True)
    error = process.communicate()[1]
    expect(process.returncode == 1 and "'/sys/run.safetensors' cannot be created" in error,
           f"an error that names the file, got {process.returncode}: {error}")


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        want = Run(program, folder, "whole").finish()
        begin = time.monotonic()
        expect(Run(program, folder, "again").finish() == want, "two runs to end with the same bits")
        seconds = time.monotonic() - begin
        killed_runs(program, folder, want, seconds)
        interrupted(program, folder, want)
        full_disk(program, folder)
        read_only(program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
