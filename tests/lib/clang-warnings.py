#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""clang-warnings.py BUILD: has clang look at each C file of a build that gcc has made, its generated
headers with it, with the same words and each warning an error. Nothing is compiled: its warnings come
from the front end. Tests are left to the night, which has clang compile all. Ends with 1 where it has
something to say."""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

KEPT = ("-I", "-D", "-U", "-W", "-std=", "-isystem", "-pthread", "-m", "-f")
# Words of gcc alone.
DROPPED = ("-fdiagnostics", "-fsanitize", "-flto", "-MD", "-MQ", "-MF", "-Winvalid-pch")


def look(entry):
    words = shlex.split(entry["command"])
    kept = [w for w in words[1:] if w.startswith(KEPT) and not w.startswith(DROPPED)]
    command = ["clang", "-fsyntax-only", "-Werror", "-O2", *kept, entry["file"]]
    result = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True)
    return result.returncode, result.stderr


def main():
    build = pathlib.Path(sys.argv[1])
    entries = json.loads((build / "compile_commands.json").read_text())
    once = {e["file"]: e for e in entries if e["file"].endswith(".c") and "/tests/" not in e["file"]}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(look, once.values()))
    for status, said in results:
        if status != 0:
            print(said, end="")
    print(f"{len(results)} files")
    sys.exit(any(status for status, _ in results) or not results)


main()
