"""What we export, checked by onnx.checker and run by ONNX Runtime.

usage: export_test.py EXPORT_CASES
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
        print(f"expected a Python with onnxruntime at {python}; ./dev test makes it, or ./dev setup all")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        return subprocess.run([python, os.path.join(HERE, "export_check.py"), folder], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
