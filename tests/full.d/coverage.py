"""Reads a report of cargo-llvm-cov: branches covered by file, and those of src/proto and src/hub that are not.

A branch that can't be taken has a comment on the line above, or on its own, that says what never is, and why: `// Never
above 125: the length was refused.`
"""

import json
import re
import sys

report = json.load(open(sys.argv[1]))["data"][0]
failed = 0
total = [0, 0]
for file in report["files"]:
    if "/rustc-" in file["filename"]:
        continue
    path = file["filename"].split("/src/", 1)[1]
    branches = file["summary"]["branches"]
    lines = file["summary"]["lines"]
    print(f"{path:24} branches {branches['covered']:4} of {branches['count']:4}   lines {lines['covered']:4} of {lines['count']:4}")
    if not path.startswith(("proto/", "hub/")):
        continue
    total = [total[0] + branches["covered"], total[1] + branches["count"]]
    source = open(file["filename"]).read().split("\n")
    places = {}
    for line, column, _, _, taken, untaken, *_ in file["branches"]:
        counts = places.setdefault((line, column), [0, 0])
        counts[0] += taken
        counts[1] += untaken
    tests = next((at for at, text in enumerate(source) if text == "#[cfg(test)]"), len(source))
    for (line, column), (taken, untaken) in sorted(places.items()):
        if line > tests:
            continue
        excused = any(re.search("// Never [^:]*: ", source[at]) for at in (line - 1, line - 2))
        if not (taken and untaken) and not excused:
            failed += 1
            print(f"  src/{path}:{line}:{column} {'never true' if not taken else 'never false'}: {source[line - 1].strip()}")
print(f"src/proto and src/hub: {total[0]} of {total[1]} branches, counted once per generic instance")
print(f"{int(failed == 0)} passed, {failed} failed")
sys.exit(failed > 0)
