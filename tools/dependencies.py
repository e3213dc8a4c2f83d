#!/usr/bin/env python3
"""Checks, without a network, what the workspace depends on: every dependency's licence, where it comes from, that the pure
crates stay pure, and that dependencies point downwards only. Prints one line when all is well."""
import json, subprocess, sys

LICENCES = {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unicode-3.0", "Unlicense", "Zlib", "MIT-0", "CC0-1.0",
            "Apache-2.0 WITH LLVM-exception", "0BSD", "BSL-1.0", "CDLA-Permissive-2.0"}
# crate -> the ones of ours that it may depend on (tests aside), from the bottom up
MAY_USE = {
    "lifeboat-model": [],
    "lifeboat-atlas": ["lifeboat-model"],
    "lifeboat-plan": ["lifeboat-model"],
    "lifeboat-assess": ["lifeboat-model", "lifeboat-atlas", "lifeboat-plan"],
    "lifeboat-control": ["lifeboat-model", "lifeboat-plan"],
    "lifeboat-store": ["lifeboat-model"],
    "lifeboat-store-etcd": ["lifeboat-model", "lifeboat-store"],
    "lifeboat-tls": ["lifeboat-model"],
    "lifeboat-probe": ["lifeboat-model"],
    "lifeboat-dns": ["lifeboat-model"],
    "lifeboat-driver-postgres": ["lifeboat-model"],
    "lifeboat-driver-process": ["lifeboat-model"],
    "lifeboat-driver-kubernetes": ["lifeboat-model"],
    "lifeboat-iac": ["lifeboat-model", "lifeboat-atlas"],
    "lifeboat-lab": ["lifeboat-model"],
    "lifeboat-drill": ["lifeboat-model", "lifeboat-dns", "lifeboat-lab", "lifeboat-tls"],
    "lifeboat-protocol": [],
    "lifeboat-sim": ["lifeboat-model", "lifeboat-plan", "lifeboat-control", "lifeboat-protocol"],
    "lifeboat-node": ["lifeboat-model", "lifeboat-plan", "lifeboat-control", "lifeboat-store", "lifeboat-store-etcd", "lifeboat-tls", "lifeboat-probe",
                      "lifeboat-dns", "lifeboat-driver-postgres", "lifeboat-driver-process", "lifeboat-driver-kubernetes"],
    "lifeboat": ["lifeboat-model", "lifeboat-plan", "lifeboat-control", "lifeboat-tls", "lifeboat-node", "lifeboat-lab", "lifeboat-drill",
                 "lifeboat-atlas", "lifeboat-assess", "lifeboat-iac"],
    "shop": [],
}
PURE = ["lifeboat-model", "lifeboat-atlas", "lifeboat-assess", "lifeboat-plan", "lifeboat-control", "lifeboat-protocol"]
# What a pure crate may not have below it: whoever brings sockets, clocks, threads' runtimes or chance.
IMPURE = {"tokio", "hyper", "axum", "rusqlite", "tokio-postgres", "socket2", "rustix", "nix", "getrandom", "rand", "jiff", "chrono", "reqwest",
          "etcd-client", "kube"}


def licence_is_fine(expression):
    """SPDX as far as crates use it: alternatives by OR (or `/`), conjunctions by AND, parentheses."""
    expression = expression.replace("/", " OR ").replace("(", " ( ").replace(")", " ) ")
    words, out, at = expression.split(), [], 0
    while at < len(words):
        word = words[at]
        if word in ("OR", "AND"):
            out.append(word.lower())
        elif word in ("(", ")"):
            out.append(word)
        else:
            if at + 2 < len(words) and words[at + 1] == "WITH":
                word, at = " ".join(words[at:at + 3]), at + 2
            out.append(str(word in LICENCES or word.split(" WITH ")[0] in LICENCES))
        at += 1
    return eval(" ".join(out), {"__builtins__": {}})  # nothing but True, False, and, or, parentheses is left


def main():
    metadata = json.loads(subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True, text=True).stdout)
    packages = {p["id"]: p for p in metadata["packages"]}
    nodes = {n["id"]: n for n in metadata["resolve"]["nodes"]}
    ours = {packages[i]["name"]: i for i in metadata["workspace_members"]}
    wrong = []
    for p in packages.values():
        if p["id"] in metadata["workspace_members"]:
            continue
        if not p["license"] or not licence_is_fine(p["license"]):
            wrong.append(f"{p['name']} {p['version']}: licence {p['license']!r} is not on the list")
        if not (p["source"] or "").startswith("registry+"):
            wrong.append(f"{p['name']} {p['version']}: comes from {p['source']}, not from the registry")

    def below(package_id):
        return [d["pkg"] for d in nodes[package_id]["deps"] if any(k["kind"] is None for k in d["dep_kinds"])]

    for name, package_id in ours.items():
        if name not in MAY_USE:
            wrong.append(f"{name}: tools/dependencies.py does not say what it may depend on")
            continue
        for dependency in below(package_id):
            used = packages[dependency]["name"]
            if used in ours and used not in MAY_USE[name]:
                wrong.append(f"{name} depends on {used}: dependencies point downwards only")
    for name in PURE:
        seen, todo = set(), [ours[name]] if name in ours else []
        while todo:
            at = todo.pop()
            if at in seen:
                continue
            seen.add(at)
            if packages[at]["name"] in IMPURE:
                wrong.append(f"{name} is pure, and has {packages[at]['name']} below it")
            todo.extend(below(at))
    for line in sorted(wrong):
        print(line, file=sys.stderr)
    if not wrong:
        print(f"dependencies: {len(packages) - len(ours)} from the registry, licences and directions as they should be")
    return bool(wrong)


sys.exit(main())
