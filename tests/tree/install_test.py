"""cmake --install into an empty folder; a project outside of the tree finds the package, builds and runs.

usage: install_test.py BUILD
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    with tempfile.TemporaryDirectory() as folder:
        prefix, build = os.path.join(folder, "prefix"), os.path.join(folder, "build")
        for command in (["cmake", "--install", sys.argv[1], "--prefix", prefix],
                        ["cmake", "-S", os.path.join(HERE, "consumer"), "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}"],
                        ["cmake", "--build", build],
                        [os.path.join(build, "consumer")]):
            done = subprocess.run(command, capture_output=True, text=True)
            print(done.stdout[-400:], flush=True)
            if done.returncode:
                print(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
