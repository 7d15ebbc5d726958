"""Each check of tools/lint.py is broken once: in a small tree that passes, one file is spoiled, and the check must say so."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINT = os.path.join(ROOT, "tools/lint.py")

OPS = "# Ops\n" + "".join(f"\n## op{i}\n" for i in range(20))
NAMES = ", ".join(f'"op{i}"' for i in range(20))
GOOD = {
    "dev": "jobs=${TENON_JOBS:-1}\n",
    "docs/debugging.md": "| variable | what |\n|---|---|\n| `TENON_JOBS` | processes |\n| `TENON_TRACE` | prints |\n",
    "include/tenon/tensor.h": "#pragma once\n#include <string>\nint size();\n",
    "include/tenon/tenon.h": '#pragma once\n#include "tenon/tensor.h"\n',
    "src/base/trace.cpp": '#include <cstdlib>\nconst char* trace() { return std::getenv("TENON_TRACE"); }\n',
    "docs/ops.md": OPS,
    "src/ir/graph.h": '#include "ir/type.h"\n#include "tenon/tensor.h"\n',
    "src/op/table.gen.h": "int generated;\n",
    "tools/generated.txt": "src/op/table.gen.h: echo 'int generated;'\n",
}
# check, file, what it becomes, what the finding says
BREAKS = [
    ("format", "src/base/trace.cpp", "int  x ;\n", "clang-format"),
    ("size", "src/base/trace.cpp", "int x;\n" * 601, "at most 600 lines"),
    ("words", "src/base/trace.cpp", "// TO" + "DO: this\n", "finished code"),
    ("tidy", "src/base/trace.cpp", "int* none() { return 0; }\n", "nullptr"),
    ("layers", "src/ir/graph.h", '#include "tensor/lazy.h"\n', "earlier layer"),
    ("layers", "src/nn/layer.h", '#include "optim/adam.h"\n', "earlier layer"),
    ("layers", "include/tenon/tensor.h", '#pragma once\n#include "ir/graph.h"\n', "only public ones"),
    ("layers", "src/attic/a.h", "int x;\n", "known room"),
    ("headers", "include/tenon/tensor.h", "#pragma once\nstd::string name();\n", "compile alone"),
    ("headers", "include/tenon/tensor.h", "#pragma once\n#include <gtest/gtest.h>\n", "third-party"),
    ("headers", "include/tenon/tensor.h", "int size();\n", "pragma once"),
    ("cost", "include/tenon/tensor.h", "#pragma once\n#include <bits/stdc++.h>\n", "at most 3"),
    ("ops", "src/ir/graph.h", f"const char* names[] = {{{NAMES}}};\n", "at most 12 ops"),
    ("ops", "docs/ops.md", "# Ops\n", "the names of the ops"),
    ("generated", "src/op/table.gen.h", "int stale;\n", "expected the output"),
    ("generated", "src/op/other.gen.h", "int stale;\n", "the command that generates"),
    ("environment", "src/base/trace.cpp", 'auto a = getenv("TENON_TRACE"), b = getenv("TENON_OTHER");\n', "TENON_OTHER"),
    ("environment", "src/base/trace.cpp", "int x;\n", "read nowhere"),
]


def write(root, file, text):
    path = os.path.join(root, file)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def lint(root, check):
    done = subprocess.run([sys.executable, LINT, "--root", root, "--build", os.path.join(root, "build"), "--all", check],
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(["git", "init", "-q", root], check=True)
        for name in (".clang-format", ".clang-tidy"):
            with open(os.path.join(ROOT, name), encoding="utf-8") as f:
                write(root, name, f.read())
        write(root, ".gitignore", "/build/\n")
        for file, text in GOOD.items():
            write(root, file, text)
        source = os.path.join(root, "src/base/trace.cpp")
        write(root, "build/compile_commands.json",
              json.dumps([{"directory": root, "file": source, "command": f"g++ -std=c++20 -c {source}"}]))
        for check in dict.fromkeys(b[0] for b in BREAKS):
            code, output = lint(root, check)
            if code != 0:
                failures.append(f"{check}: expected the good tree to pass, got: {output}")
        for check, file, text, says in BREAKS:
            write(root, file, text)
            code, output = lint(root, check)
            if code != 1 or says not in output:
                failures.append(f"{check}: expected exit 1 and '{says}' after spoiling {file}, got exit {code}: {output}")
            if file in GOOD:
                write(root, file, GOOD[file])
            else:
                os.remove(os.path.join(root, file))
    print("\n".join(failures) or f"{len(BREAKS)} breaks found")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
