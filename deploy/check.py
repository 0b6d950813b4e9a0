#!/usr/bin/env python3
"""Laws that the deployment files keep, which no linter knows: check.py PROGRAM FOLDER-OF-RENDERED-MANIFESTS.
$HELM and $PROMTOOL name those programs."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jsonschema
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

PROGRAM, RENDERED = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).parent.parent
CHART = ROOT / "deploy/helm/balance-exporter"
CONFIGURATION = json.loads((ROOT / "exporter.schema.json").read_text())
HELP = subprocess.run([PROGRAM, "run", "--help"], capture_output=True, text=True, check=True).stdout
FLAGS = set(re.findall(r"--[a-z.-]+", HELP))
RULES = [yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text()) for name in ("rules.yml", "alerts.yml")]
SHIPPED = sum((file["groups"] for file in RULES), [])
DASHBOARDS = {file.name: file.read_text() for file in (ROOT / "grafana/dashboards").glob("*.json")}
PATHS = {"/-/healthy", "/-/ready", "/metrics"}


def flags_exist(where, arguments):
    for argument in arguments:
        flag = argument.split("=")[0]
        assert flag in FLAGS, f"{where}: the program has no {flag}"


def same_as(model, item):
    """The models ignore keys that they do not know. So what comes out is compared with what went in."""
    seen = model.model_validate(item).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert seen["spec"] == item["spec"], f"{item['kind']}: unknown keys in {item['spec']}, known are {seen['spec']}"


def configuration_is_valid(where, text):
    jsonschema.Draft202012Validator(CONFIGURATION).validate(yaml.safe_load(text))
    # secrets are not here, which the program tells, and does not mind
    file = RENDERED / "exporter.yaml"
    file.write_text(text)
    check = subprocess.run([PROGRAM, "check", "--config.file", file], capture_output=True, text=True)
    file.unlink()
    assert check.returncode == 0 and "nothing wrong" in check.stdout, f"{where}: {check.stderr}"


def state_is_kept(where, pod):
    """At least over a crash of the container, and in the one place that may be written to."""
    (mounts,) = [container["volumeMounts"] for container in pod["containers"]]
    writable = {mount["mountPath"]: mount["name"] for mount in mounts if not mount.get("readOnly")}
    assert writable == {"/var/lib/balance-exporter": "state"}, f"{where}: writable are {writable}"
    (state,) = [volume for volume in pod["volumes"] if volume["name"] == "state"]
    claim = state.get("persistentVolumeClaim", {}).get("claimName", "")
    expected = {"everything-values": "balances", "text-values": "balances-state"}.get(where.split(".")[0], "")
    assert claim == expected and ("emptyDir" in state) == (not expected), f"{where}: the state is in {state}"


def pod_is_safe(where, pod):
    security = pod["securityContext"]
    assert security["runAsNonRoot"] and security["fsGroup"] and not pod["automountServiceAccountToken"], where
    for volume in pod["volumes"]:
        secret = volume.get("secret") or volume.get("projected")
        # with fsGroup it becomes 0440 of root's, which the program accepts; 0444 it refuses
        assert not secret or secret["defaultMode"] == 0o400, f"{where}: {volume['name']} can be read by everybody"
    state_is_kept(where, pod)
    for container in pod["containers"]:
        rules = container["securityContext"]
        assert rules["readOnlyRootFilesystem"] and not rules["allowPrivilegeEscalation"], where
        assert rules["capabilities"] == {"drop": ["ALL"]}, where
        flags_exist(where, container["args"])
        for probe in ("livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["path"] in PATHS, where


def rules_are_the_shipped_ones(where, groups):
    """But for the runbooks, which are links now, and for the group that the values add."""
    for rule in sum((group["rules"] for group in groups[: len(SHIPPED)]), []):
        if link := rule.get("annotations", {}).get("runbook_url"):
            assert link.startswith("https://wiki.example.com/balances/Balance"), f"{where}: {link}"
            rule["annotations"]["runbook_url"] = "docs/runbooks/" + link.rpartition("/")[2]
    assert groups[: len(SHIPPED)] == SHIPPED, f"{where}: not the rules of deploy/prometheus"
    assert len(groups) == len(SHIPPED) + 1, f"{where}: the rules of the values are lost"
    file = RENDERED / "rules.json"
    file.write_text(json.dumps({"groups": groups}))
    check = subprocess.run([os.environ["PROMTOOL"], "check", "rules", file], capture_output=True, text=True)
    file.unlink()
    assert check.returncode == 0, f"{where}: {check.stdout} {check.stderr}"


def dashboards_arrive(items):
    """Those of the repository, each whole, under the label that Grafana's sidecar looks for."""
    found = {}
    for item in items:
        if item["kind"] == "ConfigMap" and item["metadata"]["labels"].get("grafana_dashboard") == "1":
            assert item["metadata"]["namespace"] == "monitoring", item["metadata"]
            found |= item["data"]
    assert found == DASHBOARDS, f"rendered are {sorted(found)}, the repository has {sorted(DASHBOARDS)}"
    for name, text in found.items():
        assert len(text.encode()) < 900_000, f"{name} is too large for a ConfigMap"
    assert found, "the chart brings no dashboard"


def manifests_keep_the_laws():
    kinds = set()
    for file in sorted(RENDERED.glob("*.yaml")):
        items = [item for item in yaml.safe_load_all(file.read_text()) if item]
        for item in items:
            kind, where = item["kind"], f"{file.name}: {item['kind']} {item['metadata']['name']}"
            kinds.add(kind)
            text = (item.get("data") or item.get("stringData") or {}).get("exporter.yaml")
            if text:
                configuration_is_valid(where, text)
            if kind == "Deployment":
                spec = item["spec"]
                assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"}), f"{where}: two at once"
                pod_is_safe(where, spec["template"]["spec"])
            elif kind in ("ServiceMonitor", "PrometheusRule"):
                same_as(getattr(operator, kind), item)
                if kind == "PrometheusRule":
                    rules_are_the_shipped_ones(where, item["spec"]["groups"])
        if file.stem == "everything-values":
            dashboards_arrive([item for item in items if "labels" in item["metadata"]])
        pods = [item["spec"] for item in items if item["kind"] == "Deployment"]
        labels = pods[0]["template"]["metadata"]["labels"].items()
        for item in items:
            if item["kind"] == "Service":
                assert item["spec"]["selector"].items() <= labels, f"{file.name}: the Service finds no pod"
    missing = {template.stem for template in (CHART / "templates").glob("*.yaml")} - {kind.lower() for kind in kinds}
    assert missing == {"config", "dashboards", "extra-manifests"} and {"ConfigMap", "Secret"} <= kinds, f"no values bring {missing}"


def bad_values_are_refused():
    sound = ["--values", CHART / "ci/credentials-values.yaml"]
    for case, words in [
        ([], "nothing to poll"),
        ([*sound, "--set", "replicas=2"], "'replicas' not allowed"),
        ([*sound, "--set", "replicaCount=2"], "'replicaCount' not allowed"),
        ([*sound, "--set", "config.provider=1"], "'provider' not allowed"),
        ([*sound, "--set", "configExistingSecretName=other"], "not both"),
        ([*sound, "--set", "extraArgs[0]=--web.telemetry-path=/other"], "extraArgs"),
        ([*sound, "--set", "serviceMonitor.interval=sixty"], "serviceMonitor/interval"),
        ([*sound, "--set", "prometheusRule.enabled=true,prometheusRule.shipped=false"], "alert on nothing"),
        ([*sound, "--set", "prometheusRule.runbooks=wiki"], "prometheusRule/runbooks"),
        ([*sound, "--set", "dashboards.label=x"], "'label' not allowed"),
        ([*sound, "--set", "persistence.existingClaim=mine"], "would not be used"),
        ([*sound, "--set", "persistence.accessModes[0]=ReadOnlyMany"], "persistence/accessModes"),
        ([*sound, "--set", "terminationGracePeriodSeconds=3"], "terminationGracePeriodSeconds"),
    ]:
        ran = subprocess.run([os.environ["HELM"], "template", "x", CHART, *case], capture_output=True, text=True)
        assert ran.returncode != 0 and words in ran.stderr, f"{case[2:]}: {ran.returncode} {ran.stderr}"


def everything_speaks_of_one_program():
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text()
    assert chart["appVersion"] == version, f"Chart.yaml says {chart['appVersion']}, Cargo.toml says {version}"
    assert f"ARG VERSION={version}\n" in dockerfile, f"the Dockerfile does not say {version}"
    flags_exist("Dockerfile", json.loads(re.search(r"^CMD (.*)$", dockerfile, re.M)[1]))
    unit = (ROOT / "deploy/systemd/balance-exporter.service").read_text()
    for line in re.findall(r"^ExecStart=(.*)$", unit, re.M):
        flags_exist("unit", [word for word in line.split() if word.startswith("--")])
    pause = int(re.search(r"^RestartSec=(\d+)$", unit, re.M)[1])
    place = pathlib.Path("/var/lib", re.search(r"^StateDirectory=(\S+)$", unit, re.M)[1])
    assert "StateDirectoryMode=0700\n" in unit, "others may look at the state, which may hold tokens"
    # whoever remembers what was sent may come back at once, and until then nobody looks at the balances
    assert 1 <= pause <= 10, f"the unit restarts after {pause} s"
    example = yaml.safe_load((ROOT / "exporter.yaml").read_text())
    assert pathlib.Path(example["state"]["file"]).parent == place, f"exporter.yaml has no state in {place}"
    for name in re.findall(r"^#.*BALANCE_EXPORTER_FLAGS=(.*)$", (ROOT / "deploy/packages/default").read_text(), re.M):
        flags_exist("default", name.strip('"').split())


for law in (manifests_keep_the_laws, bad_values_are_refused, everything_speaks_of_one_program):
    law()
    print(f"  {law.__name__.replace('_', ' ')}")
