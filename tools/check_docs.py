#!/usr/bin/env python3
"""Documents run: executes the commands and compiles and runs the C++ programs in README.md, CONTRIBUTING.md and docs/.

usage: tools/check_docs.py --build DIR [--root DIR] [FILE ...]

Blocks fenced as `sh` are commands, run from the root; those fenced as `cpp` are programs, linked with libtenon; other
blocks are only read. A comment before a block changes that:

    <!-- check: skip, REASON -->        not run here
    <!-- check: instead COMMAND -->     runs this, a shorter form, in its place
    <!-- check: fragment -->            C++ that is compiled as the body of a function
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"(?:^<!-- check: (?P<how>[^\n]*?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
PATIENCE = 600


def run(command, root, shell=False):
    """What went wrong, or nothing."""
    try:
        done = subprocess.run(command, cwd=root, shell=shell, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"took more than {PATIENCE} s"
    if done.returncode:
        return f"exit {done.returncode}: {(done.stdout + done.stderr).strip()[-2000:]}"
    return ""


def check_commands(text, how, root):
    if how.startswith("instead "):
        text = how.removeprefix("instead ")
    problem = run(["bash", "-euo", "pipefail", "-c", text], root)
    return f"command failed with {problem}" if problem else ""


def check_program(text, how, root, build):
    if how == "fragment":
        text = f"#include <tenon/tenon.h>\nvoid fragment();\nvoid fragment() {{\n{text}}}\nint main() {{ return 0; }}\n"
    if "int main(" not in text:
        return "expected a program with main, or <!-- check: fragment --> before it"
    library = os.path.join(build, "lib")
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "program.cpp"), os.path.join(folder, "program")
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
        problem = run(["g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-I" + os.path.join(root, "include"),
                       source, "-o", program, "-L" + library, "-ltenon", "-Wl,-rpath," + library], root)
        if problem:
            return f"program does not compile: {problem}"
        problem = "" if how == "fragment" else run([program], folder)
        return f"program failed with {problem}" if problem else ""


def check_file(file, root, build):
    """(number of blocks run, problems)"""
    with open(os.path.join(root, file), encoding="utf-8") as f:
        page = f.read()
    count, problems = 0, []
    for block in BLOCK.finditer(page):
        how, language = block["how"] or "", block["language"]
        if how and not (how.startswith(("skip, ", "instead ")) or how == "fragment"):
            problem = f"expected skip, instead or fragment, got '{how}'"
        elif how.startswith("skip, ") or language not in ("sh", "cpp"):
            continue
        elif language == "sh":
            problem = check_commands(block["text"], how, root)
        else:
            problem = check_program(block["text"], how, root, build)
        count += 1
        if problem:
            line = page.count("\n", 0, block.start("text"))
            problems.append(f"{file}:{line}: {problem}")
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", BLOCK.sub("", page)):
        if not os.path.exists(os.path.join(root, os.path.dirname(file), target)):
            problems.append(f"{file}:1: expected {target} to exist; mend the link")
    return count, problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    root, build = os.path.abspath(options.root), os.path.abspath(options.build)
    pages = options.files or [f for f in ("README.md", "CONTRIBUTING.md") if os.path.exists(os.path.join(root, f))] + sorted(
        os.path.relpath(os.path.join(folder, f), root)
        for folder, _, files in os.walk(os.path.join(root, "docs")) for f in files if f.endswith(".md"))
    wrong = 0
    for page in pages:
        count, problems = check_file(page, root, build)
        print(f"{page}: {count} blocks run, {len(problems)} problems", flush=True)
        for problem in problems:
            print("  " + problem, flush=True)
        wrong += len(problems)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
