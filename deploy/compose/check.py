#!/usr/bin/env python3
"""Laws that compose.yaml keeps, which its schema does not know: check.py PROGRAM PROMTOOL EMPTY-FOLDER."""

import pathlib
import re
import shutil
import subprocess
import sys

import yaml

PROGRAM, PROMTOOL, FOLDER = map(pathlib.Path, sys.argv[1:])
HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def mounts(service):
    """Where each file or folder of the repository is seen, and by which path here."""
    pairs = [volume.split(":") for volume in SERVICES[service].get("volumes", [])]
    return {target[0]: (HERE / source).resolve() for source, *target in pairs if source.startswith(".")}


def listens_on(service):
    """Its ports in the network of the services."""
    return {int(port.split(":")[-1]) for port in SERVICES[service]["ports"]}


def leads_to_a_service(where, target):
    host, _, port = target.removeprefix("http://").partition(":")
    assert host in SERVICES, f"{where}: there is no service {host}"
    assert int(port) in listens_on(host), f"{where}: {host} does not listen on {port}"


def every_service_is_confined():
    for name, service in SERVICES.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and "privileged" not in service, name
        assert not service["user"].startswith("0"), f"{name}: runs as root"
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"{name}: {service['image']} can become another"
        assert ("healthcheck" in service) == (name != "exporter"), f"{name}: a health check, but for the exporter"
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), f"{name}: {port} can be reached from elsewhere"


def every_mount_is_there():
    named = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, *target = volume.split(":")
            if not source.startswith("."):
                named.add(source)
                continue
            assert target[1:] == ["ro"], f"{name}: {volume} can be written"
            path = (HERE / source).resolve()
            assert path.is_relative_to(ROOT), f"{name}: {source} is not in the repository"
            assert path.exists(), f"{name}: there is no {source}"
    assert named == set(COMPOSE["volumes"]), f"volumes are {named}, declared are {set(COMPOSE['volumes'])}"
    build = SERVICES["exporter"]["build"]
    assert (HERE / build["context"] / build["dockerfile"]).is_file() and (HERE / build["context"]).resolve() == ROOT


def the_demo_is_this_program():
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    service = SERVICES["exporter"]
    assert service["image"].endswith(f":{version}"), f"{service['image']} is not {version}"
    command, *flags = service["command"]
    known = subprocess.run([PROGRAM, command, "--help"], capture_output=True, text=True, check=True).stdout
    for flag in flags:
        assert f"{flag.split('=')[0]} " in known, f"{command} has no {flag}"
    listening = next(flag for flag in flags if flag.startswith("--web.listen-address=:"))
    assert listens_on("exporter") == {int(listening.rpartition(":")[2])}, listening


def prometheus_is_as_shipped():
    shipped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    ours = yaml.safe_load((HERE / "prometheus.yml").read_text())
    for configuration in (shipped, ours):
        found = configuration["alerting"]["alertmanagers"] + configuration["scrape_configs"]
        targets = [static.pop("targets") for section in found for static in section["static_configs"]]
    for target in sum(targets, []):
        leads_to_a_service("prometheus.yml", target)
    assert ours == shipped, f"more than the targets differs: {ours} and {shipped}"


def files_stand_where_they_are_looked_for():
    for service in ("prometheus", "alertmanager"):
        for argument in SERVICES[service]["command"]:
            if argument.startswith("--config.file="):
                assert argument.partition("=")[2] in mounts(service), f"{service}: {argument} is not mounted"
    for target, source in mounts("prometheus").items():
        (FOLDER / target[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, FOLDER / target[1:])
    check = [PROMTOOL, "check", "config", FOLDER / "etc/prometheus/prometheus.yml"]
    ran = subprocess.run(check, capture_output=True, text=True)
    assert ran.returncode == 0 and "2 rule files found" in ran.stdout, (ran.stdout + ran.stderr).strip()


def grafana_finds_its_sources():
    seen = {source: pathlib.PurePath(target) for target, source in mounts("grafana").items()}
    provisioning, dashboards = ROOT / "grafana/provisioning", ROOT / "grafana/dashboards"
    assert seen[provisioning] == pathlib.PurePath("/etc/grafana/provisioning"), "Grafana looks elsewhere"
    sources = [yaml.safe_load(file.read_text())["datasources"] for file in provisioning.glob("datasources/*.yaml")]
    for source in sum(sources, []):
        assert source["type"] == "prometheus" and source["access"] == "proxy", source
        leads_to_a_service("datasources", source["url"])
    found = [yaml.safe_load(file.read_text())["providers"] for file in provisioning.glob("dashboards/*.yaml")]
    for provider in sum(found, []):
        path = pathlib.PurePath(provider["options"]["path"])
        assert path.is_relative_to(seen[dashboards]), f"dashboards are in {seen[dashboards]}, and not in {path}"
    assert sources and found and any(dashboards.rglob("*.json")), "Grafana is given nothing"


for law in (
    every_service_is_confined,
    every_mount_is_there,
    the_demo_is_this_program,
    prometheus_is_as_shipped,
    files_stand_where_they_are_looked_for,
    grafana_finds_its_sources,
):
    law()
    print(f"  {law.__name__.replace('_', ' ')}")
