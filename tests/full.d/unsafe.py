"""Prints a table of the crates in the tree with the `unsafe` of each: blocks, functions, impls and traits in its src/.

usage: cargo metadata --format-version 1 --filter-platform x86_64-unknown-linux-gnu | python3 unsafe.py
"""

import json
import pathlib
import re
import sys

metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
todo, seen = [metadata["resolve"]["root"]], set()
while todo:
    node = todo.pop()
    if node not in seen:
        seen.add(node)
        for dep in nodes[node]["deps"]:
            if any(kind["kind"] in (None, "build") for kind in dep["dep_kinds"]):
                todo.append(dep["pkg"])
print("| crate | version | `unsafe` |\n| --- | --- | --: |")
for package in sorted((packages[id] for id in seen), key=lambda package: package["name"]):
    count = 0
    for path in (pathlib.Path(package["manifest_path"]).parent / "src").rglob("*.rs"):
        code = re.sub(r"//[^\n]*", "", path.read_text(errors="replace"))
        count += len(re.findall(r"\bunsafe\s*(?:\{|fn\b|impl\b|trait\b|extern\b)", code))
    print(f"| {package['name']} | {package['version']} | {count} |")
