#!/usr/bin/env python3
"""Applies the ```diff block of a page to one source file: apply_page.py PAGE SOURCE RESULT.

Hunks begin with a line of `@@`; their places are found by their context, in order. Fails when a context is not found or
when the block names more than one file.
"""
import pathlib
import re
import sys


def main(page: str, source: str, result: str) -> None:
    block = re.search(r"```diff\n(.*?)```", pathlib.Path(page).read_text(), re.S).group(1)
    files = set(re.findall(r"^[-+]{3} (\S+)$", block, re.M))
    if len(files) != 1 or not source.endswith(files.pop()):
        sys.exit(f"{page}: expected a change of the one file {source}")
    text = pathlib.Path(source).read_text()
    for hunk in re.split(r"^@@\n", block, flags=re.M)[1:]:
        lines = hunk.splitlines()
        before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
        after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
        if text.count(before) != 1:
            sys.exit(f"{page}: expected its context once in {source}:\n{before}")
        text = text.replace(before, after)
    pathlib.Path(result).write_text(text)


main(*sys.argv[1:])
