"""The demo, shortened to a tenth of an epoch: it runs to its end, and its report says what it has to."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEYS = ["accuracy_trained", "accuracy_plan", "max_abs_diff_ref", "train_seconds", "plan_bytes", "plan_load_ms"]


def main():
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run([os.path.join(ROOT, "dev"), "demo", out], capture_output=True, text=True, check=False,
                              env={**os.environ, "FASHION_EPOCHS": "0.1", "TENON_EXPLAIN": "1"})
        references = done.stderr.count("# ref: ")
        print((done.stdout + done.stderr)[-4000:])
        if done.returncode:
            return 1
        with open(os.path.join(out, "report.json"), encoding="utf-8") as f:
            report = json.load(f)
        with open(os.path.join(out, "page.html"), encoding="utf-8") as f:
            pictures = f.read().count("<figure")
        files = [name for name in ("model.safetensors", "model.onnx", "tuned.onnx", "graph.svg") if
                 not os.path.getsize(os.path.join(out, name))]
        wrong = [what for what, fine in {
            f"the keys {KEYS}": list(report) == KEYS,
            "a network that learnt something": report["accuracy_trained"] > 0.5,
            "a fine-tuned network about as good": report["accuracy_plan"] > report["accuracy_trained"] - 0.1,
            "the plan's answers near the reference's": report["max_abs_diff_ref"] < 1e-3,
            "one run on the reference, that of the comparison": references == 1,
            "a page of 64 pictures": pictures == 64,
            "no empty file": not files,
            "no checkpoint of a run that is over": not os.path.exists(os.path.join(out, "run.safetensors")),
        }.items() if not fine]
        for what in wrong:
            print("expected", what)
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
