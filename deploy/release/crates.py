#!/usr/bin/env python3
"""What a program of ours is made of: as a CycloneDX 1.5 bill of materials, or as the licence texts that must go with it.

crates.py sbom PROGRAM TARGET [static], crates.py licences TARGET; SOURCE_DATE_EPOCH is the time of the bill

The list is cargo's own, so that features count: metadata names more crates than are compiled. The digests are those of
Cargo.lock. No timestamp and no random number gets in, so that equal inputs give equal bytes.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).parent.parent.parent
# names under which crates keep what must be handed on with them
TEXTS = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def tree(target, edges):
    """The edges that cargo follows for a target: crates as (name, version), the program first."""
    shown = run("cargo", "tree", "--locked", "--target", target, "--edges", edges,
                "--no-dedupe", "--prefix", "depth", "--format", " {p}")  # fmt: skip
    needs, above = {}, []
    for line in shown.splitlines():
        depth, name, version, *_ = line.split()
        crate = (name, version.removeprefix("v"))
        needs.setdefault(crate, set())
        above[int(depth) :] = [crate]
        if len(above) > 1:
            needs[above[-2]].add(crate)
    return needs


def metadata(target):
    packages = json.loads(run("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"))
    return {(package["name"], package["version"]): package for package in packages["packages"]}


def licence(expression):
    # the form before SPDX had a slash where now stands OR
    return [{"expression": expression.replace("/", " OR ")}]


def sbom(program, target, static):
    linked, needs = tree(target, "normal,no-proc-macro"), tree(target, "normal,build")
    known = metadata(target)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    digests = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock}
    (ours, *crates) = needs
    purl = {crate: f"pkg:cargo/{crate[0]}@{crate[1].replace('+', '%2B')}" for crate in needs}
    components = [
        {
            "type": "library",
            "bom-ref": purl[crate],
            "name": crate[0],
            "version": crate[1],
            # what only builds it is not in it
            "scope": "required" if crate in linked else "excluded",
            "hashes": [{"alg": "SHA-256", "content": digests[crate]}],
            "licenses": licence(known[crate]["license"]),
            "purl": purl[crate],
        }
        for crate in sorted(crates)
    ]
    compiler = run("rustc", "--version").split()[1]
    beside = [("rust-std", compiler, "MIT OR Apache-2.0")]
    if static:
        beside.append(("glibc", run("getconf", "GNU_LIBC_VERSION").split()[1], "LGPL-2.1-or-later"))
    for name, version, expression in beside:
        components.append({"type": "library", "bom-ref": name, "name": name, "version": version,
                           "scope": "required", "licenses": licence(expression)})  # fmt: skip
    edges = [{"ref": purl[crate], "dependsOn": sorted(purl[other] for other in needs[crate])} for crate in sorted(needs)]
    digest = hashlib.sha256(pathlib.Path(program).read_bytes()).hexdigest()
    when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, digest).urn,
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": purl[ours],
                "name": ours[0],
                "version": ours[1],
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "licenses": licence(known[ours]["license"]),
                "purl": f"pkg:generic/{ours[0]}@{ours[1]}",
            },
            "properties": [{"name": "target", "value": target}],
        },
        "components": components,
        "dependencies": edges,
    }


def licences(target):
    """Each text once, under the crates that bring it."""
    known, brought, bare = metadata(target), {}, []
    for crate in sorted(tree(target, "normal,no-proc-macro")):
        folder = pathlib.Path(known[crate]["manifest_path"]).parent
        if folder == ROOT:
            continue
        # what a crate builds of another language has its own text, one folder below
        files = [*sorted(folder.glob("*")), *sorted(folder.glob("*/*"))]
        texts = [file for file in files if file.is_file() and TEXTS.match(file.name)]
        for file in texts:
            text = file.read_text(errors="replace").strip()
            brought.setdefault(text, []).append(f"{crate[0]} {crate[1]} ({known[crate]['license']})")
        if not texts:
            bare.append(f"{crate[0]} {crate[1]} ({known[crate]['license']})")
    print("balance-exporter is built from these crates, under these licences.")
    for text, crates in sorted(brought.items(), key=lambda item: item[1]):
        print("\n" + "=" * 78 + "\n" + "\n".join(dict.fromkeys(crates)) + "\n" + "-" * 78 + "\n" + text)
    print("\n" + "=" * 78 + "\nThese bring no text of their own:\n" + "\n".join(bare))


match sys.argv[1:]:
    case ["sbom", program, target, *static]:
        print(json.dumps(sbom(program, target, static == ["static"]), indent=1))
    case ["licences", target]:
        licences(target)
    case _:
        sys.exit(__doc__)
