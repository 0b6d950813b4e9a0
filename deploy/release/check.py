#!/usr/bin/env python3
"""What deploy/release/make made, against what it was made of: check.py PROGRAM FOLDER.
$HELM names helm, SOURCE_DATE_EPOCH is the time that everything must have."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PROGRAM, FOLDER = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).parent.parent.parent
MOMENT = int(os.environ["SOURCE_DATE_EPOCH"])
DOCUMENTS = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "exporter.yaml",
    "exporter.schema.json",
    "docs/deployment.md",
    "deploy/prometheus/alerts.yml",
    "deploy/systemd/balance-exporter.service",
)
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def the_one(pattern):
    (file,) = FOLDER.glob(pattern)
    return file


def every_file_is_summed():
    ran = run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=FOLDER)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summed = {line.split("  ")[1] for line in (FOLDER / "SHA256SUMS").read_text().splitlines()}
    assert summed == {file.name for file in FOLDER.iterdir()} - {"SHA256SUMS"}, f"summed are {summed}"
    assert len(summed) == 5, f"expected an archive, a chart, two packages and a bill: {summed}"
    # the chart has a version of its own, which check.py of deploy/ looks at
    assert all(VERSION in name or "chart" in name for name in summed), f"not all of {VERSION}: {summed}"


def the_bill_is_complete():
    text = the_one("*.cdx.json").read_text()
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    assert error is None, f"no CycloneDX 1.5: {error}"
    bill = json.loads(text)
    ours = bill["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("balance-exporter", VERSION)
    assert ours["hashes"][0]["content"] == hashlib.sha256(PROGRAM.read_bytes()).hexdigest(), "of another program"
    crates = {f"{item['name']} v{item['version']}": item for item in bill["components"] if "purl" in item}
    target = bill["metadata"]["properties"][0]["value"]
    for edges, scopes in ("normal,build", {"required", "excluded"}), ("normal,no-proc-macro", {"required"}):
        tree = run("cargo", "tree", "--locked", "--target", target, "--edges", edges, "--prefix", "none", cwd=ROOT)
        expected = {" ".join(line.split()[:2]) for line in tree.stdout.splitlines()} - {f"balance-exporter v{VERSION}"}
        listed = {name for name, item in crates.items() if item["scope"] in scopes}
        assert expected and listed == expected, f"{edges}: {sorted(listed ^ expected)}"
    # The program tells of itself: its panics name the files that they come from.
    source = rb"/registry/src/[^/\0 ]+/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[^/\0 ]*)/"
    told = re.findall(source, PROGRAM.read_bytes())
    within = {f"{name.decode()} v{version.decode()}" for name, version in told}
    missing = {name for name in within if crates.get(name, {}).get("scope") != "required"}
    assert len(within) > 20 and not missing, f"the program names {len(within)} crates; not in the bill: {missing}"


def the_archive_is_whole():
    with tarfile.open(the_one("*.tar.gz")) as archive:
        members = {member.name: member for member in archive}
        (top,) = {name.split("/")[0] for name in members}
        for member in members.values():
            assert (member.mtime, member.uid, member.gid) == (MOMENT, 0, 0), f"{member.name}: not as at every place"
            assert member.mode in (0o644, 0o755), f"{member.name}: {member.mode:o}"
        expected = [*DOCUMENTS, *(file.relative_to(ROOT) for file in ROOT.glob("grafana/dashboards/*.json"))]
        for name in expected:
            packed = archive.extractfile(members[f"{top}/{name}"]).read()
            assert packed == (ROOT / name).read_bytes(), f"{name}: another"
        notices = archive.extractfile(members[f"{top}/THIRD-PARTY-LICENSES"]).read().decode()
        with tempfile.TemporaryDirectory() as folder:
            archive.extractall(folder, filter="data")
            program = pathlib.Path(folder) / top / "balance-exporter"
            assert program.read_bytes() == PROGRAM.read_bytes(), "another program"
            # as somebody would who has just unpacked it
            checked = run("./balance-exporter", "check", "--config.file", "exporter.yaml", cwd=program.parent)
            assert "nothing wrong" in checked.stdout, checked.stderr
    bill = json.loads(the_one("*.cdx.json").read_text())
    for item in bill["components"]:
        if "purl" in item and item["scope"] == "required":
            assert f"{item['name']} {item['version']} (" in notices, f"no licence of {item['name']}"


def the_chart_stands_alone():
    values = ["--values", ROOT / "deploy/helm/balance-exporter/ci/everything-values.yaml"]
    render = lambda chart: run(os.environ["HELM"], "template", "x", chart, *values, check=True, cwd="/").stdout
    with tempfile.TemporaryDirectory() as folder:
        alone = shutil.copy(the_one("*.tgz"), folder)
        same = render(alone) == render(ROOT / "deploy/helm/balance-exporter")
        assert same, "the packaged chart renders something else"


def other_versions_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        (copy / "deploy/release").mkdir(parents=True)
        shutil.copy(ROOT / "deploy/release/version", copy / "deploy/release")
        for cargo, changes, tag, answer in [
            ("1.2.3", "Unreleased", "", "1.2.3"),
            ("1.2.3", "1.2.3 (2026-11-22)", "", "1.2.3"),
            ("1.2.3", "1.2.3 (2026-11-22)", "v1.2.3", "1.2.3"),
            ("1.2.3", "Unreleased", "v1.2.3", "the top section of CHANGELOG.md is Unreleased"),
            ("1.2.3", "1.2.2", "", "the top section of CHANGELOG.md is 1.2.2"),
            ("1.2.3", "1.2.3", "v1.2.4", "the tag is v1.2.4"),
            ("1.2.3", "1.2.3", "1.2.3", "the tag is 1.2.3"),
            ("1.2", "1.2", "", "Cargo.toml has no version"),
        ]:
            manifest = f'[package]\nversion = "{cargo}"\n[dependencies]\nversion = "9.9.9"\n'
            (copy / "Cargo.toml").write_text(manifest)
            (copy / "CHANGELOG.md").write_text(f"# Changes\n\n## {changes}\n\n## 0.0.1\n")
            ran = run(copy / "deploy/release/version", *([tag] if tag else []))
            told = ran.stdout if ran.returncode == 0 else ran.stderr
            told = told.strip()
            assert answer in told and (ran.returncode == 0) == (answer == cargo), f"{cargo} {changes} {tag}: {told}"
    # and nothing is made of a program that is another version
    maker = {**os.environ, "PACKAGE_MAINTAINER": "nobody <nobody@example.com>"}
    with tempfile.TemporaryDirectory() as folder:
        other = pathlib.Path(folder) / "program"
        other.write_text("#!/bin/sh\necho balance-exporter 9.9.9\n")
        other.chmod(0o755)
        ran = run(ROOT / "deploy/release/make", "--program", other, pathlib.Path(folder) / "out", env=maker)
        assert ran.returncode != 0 and f"is not version {VERSION}" in ran.stderr, ran.stderr
        assert not (pathlib.Path(folder) / "out").exists(), "something was made"


for law in (
    every_file_is_summed,
    the_bill_is_complete,
    the_archive_is_whole,
    the_chart_stands_alone,
    other_versions_are_refused,
):
    law()
    print(f"  {law.__name__.replace('_', ' ')}")
