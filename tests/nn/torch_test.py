"""Runs torch_cases.py with the environment that has torch, then torch_test on what it wrote.

usage: torch_test.py NN_TORCH_TEST
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def main():
    python = os.path.join(os.environ.get("TENON_VENV", os.path.join(ROOT, ".venv")), "bin/python")
    if not os.path.exists(python):
        print(f"expected a Python with torch at {python}; ./dev test makes it, or ./dev setup all")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, os.path.join(HERE, "torch_cases.py"), folder], check=True)
        return subprocess.run([sys.argv[1], folder], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
