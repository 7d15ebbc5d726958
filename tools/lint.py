#!/usr/bin/env python3
"""Checks of the source tree. Each is a function that returns its findings as "file:line: what; fix".

usage: tools/lint.py [--all] [--analyze] [--fix] [--root DIR] [--build DIR] [CHECK ...]
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

LAYERS = ["base", "ir", "op", "transform", "compile", "backend", "runtime", "tensor", ("nn", "optim", "data"), "onnx",
          "engine", ("dist", "prob", "symbolic"), "apps"]
RANK = {name: i for i, level in enumerate(LAYERS) for name in ([level] if isinstance(level, str) else level)}
MAX_LINES = 600
MAX_OPS_NAMED = 12
SOURCES = (".h", ".cpp", ".c")
TEXTS = SOURCES + (".py", ".md", ".txt", ".cmake", ".json", ".sh", ".in")


class Tree:
    """The files git knows or would add, below a root."""

    def __init__(self, root, build, everything=False, analyzed=False):
        self.root, self.build, self.everything, self.analyzed = root, build, everything, analyzed
        listed = self.git("ls-files", "--cached", "--others", "--exclude-standard")
        self.files = sorted(f for f in set(listed.split("\n")) if f and os.path.isfile(os.path.join(root, f)))
        self.texts = {}

    def git(self, *arguments):
        done = subprocess.run(["git", "-C", self.root, *arguments], capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def text(self, file):
        if file not in self.texts:
            with open(os.path.join(self.root, file), encoding="utf-8", errors="replace") as f:
                self.texts[file] = f.read()
        return self.texts[file]

    def sources(self, *folders, suffixes=SOURCES):
        return [f for f in self.files if f.endswith(suffixes) and (not folders or f.startswith(folders))]

    def public_headers(self):
        return self.sources("include/")

    def changed(self):
        """Files that differ from where this branch left main; on main itself, from the commit before."""
        for main in ("main", "origin/main"):
            base = self.git("merge-base", "HEAD", main).strip()
            if base and base != self.git("rev-parse", "HEAD").strip():
                break
        else:
            base = self.git("rev-parse", "--verify", "--quiet", "HEAD~1").strip()
        names = self.git("diff", "--name-only", base or "HEAD") + self.git("ls-files", "--others", "--exclude-standard")
        return set(names.split("\n"))


def generated(file):
    return ".gen." in file


def numbered(text):
    return enumerate(text.split("\n"), 1)


def in_parallel(work, items):
    """[finding] of work(item) -> [finding], in order."""
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("TENON_JOBS", os.cpu_count() or 1))) as pool:
        return [finding for findings in pool.map(work, items) for finding in findings]


def run(tree, *command, stdin=None):
    return subprocess.run(command, cwd=tree.root, capture_output=True, text=True, input=stdin)


# ---------------------------------------------------------------- style

def check_format(tree, fix):
    """C and C++ are formatted by clang-format-19."""
    files = tree.sources()
    if fix and files:
        run(tree, "clang-format-19", "-i", *files)
        return []

    def one(chunk):
        output = run(tree, "clang-format-19", "--dry-run", *chunk).stderr
        lines = re.findall(r"^([^\s:]+:\d+):\d+: warning: code should be clang-formatted", output, re.M)
        first = {}
        for place in lines:
            first.setdefault(place.split(":")[0], place)
        return [f"{place}: expected the format of clang-format-19; run ./dev lint --fix format" for place in first.values()]

    return in_parallel(one, [files[i::4] for i in range(4) if files[i::4]])


def check_size(tree, fix):
    """A file stays under 600 lines, generated ones aside."""
    findings = []
    for file in tree.sources(suffixes=SOURCES + (".py", ".sh", ".cmake")) + ["dev"] * ("dev" in tree.files):
        lines = tree.text(file).count("\n")
        if lines > MAX_LINES and not generated(file):
            findings.append(f"{file}:{lines}: expected at most {MAX_LINES} lines, got {lines}; split it by idea")
    return findings


def check_words(tree, fix):
    """No unfinished work on main."""
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|not (yet )?implemented", re.I)
    findings = []
    for file in tree.sources(suffixes=SOURCES + (".py",)):
        if file.startswith("tools/"):
            continue
        for number, line in numbered(tree.text(file)):
            if found := pattern.search(line):
                findings.append(f"{file}:{number}: expected finished code, got '{found.group()}'; finish it, or say in an "
                                "error what is expected")
    return findings


def included(tree, file, folders, seen=None):
    """The file and all files below the root that it includes, by whatever way; paths from the root."""
    seen = set() if seen is None else seen
    seen.add(file)
    for name in re.findall(r'^\s*#\s*include\s*["<]([^">]+)[">]', tree.text(file), re.M):
        for folder in (os.path.dirname(file), *folders):
            other = os.path.relpath(os.path.join(tree.root, folder, name), tree.root)
            if other not in seen and not other.startswith("..") and os.path.isfile(os.path.join(tree.root, other)):
                included(tree, other, folders, seen)
    return seen


def check_tidy(tree, fix):
    """clang-tidy-19 on what changed; with --all on every file; with --analyze by clang's static analyzer too (slow)."""
    database = os.path.join(tree.build, "compile_commands.json")
    if not os.path.exists(database):
        return [f"{database}: expected a configured build; run ./dev build"]
    changed = None if tree.everything else tree.changed()
    analyzer = ["--checks=clang-analyzer-*"] if tree.analyzed else []
    with open(database, encoding="utf-8") as f:
        commands = collections.defaultdict(str)
        for entry in json.load(f):
            commands[entry["file"]] += entry["command"]
    files = [f for f in tree.sources(suffixes=(".cpp",))
             if os.path.join(tree.root, f) in commands and (changed is None or f in changed)]
    clean = os.path.join(tree.build, "lint")  # an empty file for each one without findings, named after all it says
    os.makedirs(clean, exist_ok=True)
    version = run(tree, "clang-tidy-19", "--version").stdout
    done_files = 0

    def one(file):
        nonlocal done_files
        command = commands[os.path.join(tree.root, file)]
        said = [tree.text(f) for f in sorted(included(tree, file, re.findall(r"-I(\S+)", command)))]
        stamp = os.path.join(clean, hashlib.sha256("\0".join(
            [version, tree.text(".clang-tidy"), command, *analyzer, *said]).encode()).hexdigest())
        findings = [] if os.path.exists(stamp) else tidied(file)
        if not findings:
            open(stamp, "w").close()
        done_files += 1
        if sys.stderr.isatty():
            print(f"\rtidy: {done_files} of {len(files)} files", end="\n" if done_files == len(files) else "",
                  file=sys.stderr, flush=True)
        return findings

    def tidied(file):
        done = run(tree, "clang-tidy-19", "-p", tree.build, "--quiet", "--warnings-as-errors=*", *analyzer,
                   *("--extra-arg=-Wno-" + w for w in (
                       "unknown-warning-option", "unused-command-line-argument", "deprecated-declarations")), file)
        found = re.findall(r"^(\S+?:\d+):\d+: (?:error|warning): (.*)$", done.stdout, re.M)
        if done.returncode and not found:
            return [f"{file}:1: clang-tidy failed: {(done.stdout + done.stderr).strip()[-500:]}"]
        return [f"{os.path.relpath(place, tree.root)}: {what}" for place, what in dict.fromkeys(found)]

    return sorted(set(in_parallel(one, files)))


# ---------------------------------------------------------------- structure

def check_layers(tree, fix):
    """Includes point to the same or an earlier layer, and internal headers never come from public ones."""
    findings = []
    internal = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
    for file in tree.sources("src/", "apps/", "include/"):
        parts = file.split("/")
        room = parts[1] if parts[0] == "src" else parts[0]
        for number, line in numbered(tree.text(file)):
            if not (match := internal.match(line)):
                continue
            target = match.group(1)
            other = target.split("/")[0]
            if room == "include":
                if not target.startswith(("tenon/", "tenon_")):
                    findings.append(f"{file}:{number}: expected a public header to include only public ones, got {target}")
            elif other not in RANK:
                if other != "tenon" and not target.startswith("tenon_") and os.path.dirname(target):
                    findings.append(f"{file}:{number}: expected an include of a room ({', '.join(RANK)}), got {target}")
            elif RANK[other] > RANK[room] or (RANK[other] == RANK[room] and other != room):
                findings.append(f"{file}:{number}: expected an include of {room} or an earlier layer, got {target}; move "
                                "what is shared down")
    for file in tree.sources("src/"):
        room = file.split("/")[1]
        if room not in RANK:
            findings.append(f"{file}:1: expected a known room, got {room}; give it a place in LAYERS of tools/lint.py")
    return findings


def compile_alone(tree, header):
    language, standard, compiler = ("c", "c11", "gcc") if header == "include/tenon_plugin.h" else ("c++", "c++20", "g++")
    with tempfile.NamedTemporaryFile("w", suffix=".c" if language == "c" else ".cpp") as f:
        f.write(f'#include "{header.removeprefix("include/")}"\n')
        f.flush()
        done = run(tree, compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                   "-fsyntax-only", "-Iinclude", f.name)
    return [] if done.returncode == 0 else [f"{header}:1: expected it to compile alone, got: {done.stderr.strip()[:600]}"]


def check_headers(tree, fix):
    """Each public header compiles alone, has #pragma once (or a guard, in C), and names nothing of a third party."""
    findings = in_parallel(lambda h: compile_alone(tree, h), tree.public_headers())
    for header in tree.public_headers():
        if "#pragma once" not in tree.text(header) and "#ifndef" not in tree.text(header):
            findings.append(f"{header}:1: expected #pragma once")
    system = re.compile(r"/usr/(lib/gcc|include/c\+\+|include/x86_64-linux-gnu|include/(linux|asm-generic)|include/[^/]+$)")
    ours = os.path.join(tree.root, "include") + "/"
    for header in tree.public_headers():
        if not header.startswith("include/tenon/"):
            continue
        done = run(tree, "g++", "-std=c++20", "-M", "-Iinclude", "-x", "c++", header)
        for path in done.stdout.replace("\\\n", " ").split()[1:]:
            full = os.path.normpath(os.path.join(tree.root, path))
            if not full.startswith(ours) and not system.match(full):
                findings.append(f"{header}:1: expected no third-party header, got {path}")
    return findings


def compile_cost(tree, includes):
    """Bytes that g++ allocates to read these headers: unlike its time, the same on every run."""
    text = "".join(f"#include <{name}>\n" for name in includes)
    done = run(tree, "g++", "-std=c++20", "-fsyntax-only", "-ftime-report", "-Iinclude", "-x", "c++", "-", stdin=text)
    total = re.search(r"^\s*TOTAL\s.*?(\d+)([kMG])\s*$", done.stderr, re.M)
    if done.returncode or not total:
        raise RuntimeError(done.stderr)
    return int(total.group(1)) * {"k": 1e3, "M": 1e6, "G": 1e9}[total.group(2)]


def check_cost(tree, fix):
    """tensor.h costs at most three times <vector>, <string> and <memory>, tenon.h four times."""
    unit = compile_cost(tree, ["vector", "string", "memory"])
    findings = []
    for name, limit in (("tenon/tensor.h", 3), ("tenon/tenon.h", 4)):
        if f"include/{name}" not in tree.files:
            continue
        cost = compile_cost(tree, [name]) / unit
        if cost > limit:
            findings.append(f"include/{name}:1: expected at most {limit} times <vector>+<string>+<memory>, got {cost:.2f}; "
                            "include less")
    return findings


# ---------------------------------------------------------------- lists that must not part

def op_names(tree):
    """The names that entries of the op table have, by the page that is made from it."""
    page = "docs/ops.md"
    return set(re.findall(r"^## (\w+)$", tree.text(page), re.M)) if page in tree.files else set()


# The map of ONNX operators is a list of theirs; scalar.cpp names the words of the loop IR, another language; the files
# of tensor/ops_*.cpp are the functions of users, which are not all one op: those that are come from the table.
OTHER_LISTS = ("src/op/", "src/onnx/", "src/ir/scalar.cpp", "src/tensor/ops_", "tests/", "tools/", "bench/", "examples/")


def check_ops(tree, fix):
    """There is no second list of ops: no other file has more than a few of their names as literals."""
    names = op_names(tree)
    findings = [] if names else ["docs/ops.md:1: expected the names of the ops; run build/release/bin/ops_page ."]
    for file in tree.sources(suffixes=SOURCES + (".py",)):
        if file.startswith(OTHER_LISTS) or generated(file):
            continue
        used = collections.OrderedDict.fromkeys(n for n in re.findall(r'"(\w+)"', tree.text(file)) if n in names)
        if len(used) > MAX_OPS_NAMED:
            findings.append(f"{file}:1: expected at most {MAX_OPS_NAMED} ops by name, got {len(used)} ({', '.join(used)}); "
                            "ask the op's entry, or generate the file")
    return findings


def check_generated(tree, fix):
    """Generated files are what their command prints. tools/generated.txt lists `FILE: COMMAND`."""
    findings = []
    listed = set()
    if "tools/generated.txt" in tree.files:
        for number, line in numbered(tree.text("tools/generated.txt")):
            if not line.strip() or line.startswith("#"):
                continue
            file, command = (part.strip() for part in line.split(":", 1))
            listed.add(file)
            done = subprocess.run(command, shell=True, cwd=tree.root, capture_output=True, text=True)
            if done.returncode:
                findings.append(f"tools/generated.txt:{number}: expected `{command}` to succeed, got {done.stderr.strip()}")
            elif fix:
                with open(os.path.join(tree.root, file), "w", encoding="utf-8") as f:
                    f.write(done.stdout)
            elif file not in tree.files or tree.text(file) != done.stdout:
                findings.append(f"{file}:1: expected the output of `{command}`; run ./dev build, ./dev lint --fix generated")
    for file in tree.files:
        if generated(os.path.basename(file)) and file not in listed:
            findings.append(f"{file}:1: expected the command that generates it in tools/generated.txt")
    return findings


# Read by the build and by plugins' sources, not from the environment.
NOT_VARIABLES = re.compile(r"TENON_(PLUGIN|FIELD|TESTS|BENCH|FUZZ|SANITIZE|ONNX_PROTO)")


def check_environment(tree, fix):
    """docs/debugging.md names exactly the environment variables that the code reads."""
    read = {}
    for file in tree.sources("src/", "apps/", suffixes=(".cpp", ".h")):
        for number, line in numbered(tree.text(file)):
            for name in re.findall(r'"(TENON_[A-Z0-9_]+)"', line):
                read.setdefault(name, f"{file}:{number}")
    for number, line in numbered(tree.text("dev") if "dev" in tree.files else ""):
        for name in re.findall(r"\$\{(TENON_[A-Z0-9_]+)", line):
            read.setdefault(name, f"dev:{number}")
    page = "docs/debugging.md"
    described = set(re.findall(r"^\|\s*`(TENON_[A-Z0-9_]+)", tree.text(page), re.M)) if page in tree.files else set()
    findings = [f"{place}: expected {name} in the table of {page}" for name, place in sorted(read.items())
                if name not in described]
    findings += [f"{page}:1: {name} is described and read nowhere" for name in sorted(described - set(read))]
    return findings


CHECKS = {name.removeprefix("check_"): f for name, f in list(globals().items()) if name.startswith("check_")}


def main():
    parser = argparse.ArgumentParser(description="checks of the source tree: " + ", ".join(CHECKS))
    parser.add_argument("--all", action="store_true", help="clang-tidy on every file")
    parser.add_argument("--analyze", action="store_true", help="clang's static analyzer with clang-tidy: minutes a file")
    parser.add_argument("--fix", action="store_true", help="mend what can be mended: format, generated")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("--build", help="a configured build (default build/release)")
    parser.add_argument("checks", nargs="*", metavar="CHECK")
    options = parser.parse_args()
    root = os.path.abspath(options.root)
    tree = Tree(root, os.path.abspath(options.build or os.path.join(root, "build/release")), options.all,
                options.analyze)
    unknown = [c for c in options.checks if c not in CHECKS]
    if unknown:
        parser.error(f"expected checks of {', '.join(CHECKS)}, got {', '.join(unknown)}")
    failed = False
    for name in options.checks or CHECKS:
        findings = CHECKS[name](tree, options.fix)
        failed |= bool(findings)
        print(f"{name}: {len(findings)} findings" if findings else f"{name}: ok", flush=True)
        for finding in findings:
            print("  " + finding, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
