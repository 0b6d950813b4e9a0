"""The peers: fetched from Debian and PyPI into a folder, configured for the same series or the same polls, and started."""

import os
import pathlib
import subprocess
import sys

from stand import PEERS, Process, free_port, get

PACKAGES = ["nginx", "prometheus-node-exporter", "prometheus-pushgateway", "prometheus-blackbox-exporter"]
PYTHON = ["prometheus-client==0.26.0", "requests", "aiohttp"]


def install(folder):
    """Nothing is started, and dpkg is not asked to install anything; what is there is not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "root/usr/sbin/nginx").exists():
        os.chmod(folder, 0o755)
        if subprocess.run(["apt-get", "-qq", "download", *PACKAGES], cwd=folder).returncode:
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            subprocess.run(["apt-get", "-qq", "download", *PACKAGES], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    if not (folder / "python/bin/aiohttp-is-there").exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True)
        subprocess.run([folder / "python/bin/pip", "install", "--quiet", "--no-input", *PYTHON], check=True)
        (folder / "python/bin/aiohttp-is-there").touch()


def accounts_only(text):
    """The series about accounts, which every peer can hold; with the headers of their families."""
    kept, header = [], []
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            header.append(line)
        elif ',account="' in line:
            kept.extend(header)
            kept.append(line)
            header = []
        else:
            header = []
    return "".join(kept)


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
    access_log off; sendfile off; etag off; default_type text/plain;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/www; gzip_static on; output_buffers 2 1m; }}
}}
"""


def nginx(installed, folder, text, packed):
    """Serves ready bytes, and compressed ones to who takes them: nothing is nearer to the limit."""
    (folder / "www").mkdir()
    (folder / "www/metrics").write_text(text)
    (folder / "www/metrics.gz").write_bytes(packed)
    for path in [folder, folder / "www"]:
        os.chmod(path, 0o755)
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    process = Process([installed / "root/usr/sbin/nginx", "-c", folder / "nginx.conf", "-p", folder])
    process.url = f"http://127.0.0.1:{port}/metrics"
    process.until(lambda: get(process.url), "nginx")
    return process


def node_exporter(installed, folder, text):
    (folder / "textfile").mkdir()
    (folder / "textfile/accounts.prom").write_text(text)
    port = free_port()
    process = Process([installed / "root/usr/bin/prometheus-node-exporter", "--collector.disable-defaults",
                       "--collector.textfile", f"--collector.textfile.directory={folder}/textfile",
                       f"--web.listen-address=127.0.0.1:{port}"])
    process.url = f"http://127.0.0.1:{port}/metrics"
    process.until(lambda: get(process.url), "node_exporter")
    return process


def pushgateway(installed, folder, text):
    port = free_port()
    process = Process([installed / "root/usr/bin/prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}"])
    process.url = f"http://127.0.0.1:{port}/metrics"
    process.until(lambda: get(process.url), "pushgateway")
    (folder / "pushed").write_text(text)
    subprocess.run(["curl", "-sSf", "--data-binary", f"@{folder}/pushed", f"http://127.0.0.1:{port}/metrics/job/x"],
                   check=True)
    return process


def crate(name, folder, text):
    """A registry of a Rust crate that holds the series."""
    file = folder / "accounts.prom"
    file.write_text(text)
    process = Process([PEERS, name, file], stdout=subprocess.PIPE)
    process.url = process.process.stdout.readline().decode().strip()
    return process


PYTHON_SERVER = """
import sys
from prometheus_client import start_http_server, Gauge, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
registry = CollectorRegistry()
known = {}
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    for sample in family.samples:
        names = tuple(sample.labels)
        key = sample.name
        if key not in known:
            known[key] = (Gauge(key, "see the exporter", names, registry=registry), names)
        gauge, expected = known[key]
        if names == expected:
            gauge.labels(**sample.labels).set(sample.value)
start_http_server(int(sys.argv[2]), "127.0.0.1", registry)
import threading
threading.Event().wait()
"""


def python(installed, folder, text):
    (folder / "server.py").write_text(PYTHON_SERVER)
    (folder / "python.prom").write_text(text)
    port = free_port()
    process = Process([installed / "python/bin/python", folder / "server.py", folder / "python.prom", port])
    process.url = f"http://127.0.0.1:{port}/metrics"
    process.until(lambda: get(process.url), "Python's prometheus_client")
    return process


BLACKBOX = "modules: { get: { prober: http, timeout: 5s, http: { fail_if_body_not_matches_regexp: [balance] } } }\n"


def blackbox(installed, folder):
    """Probes what it is asked to probe; `rig` or Python asks it as Prometheus would."""
    (folder / "blackbox.yml").write_text(BLACKBOX)
    port = free_port()
    process = Process([installed / "root/usr/bin/prometheus-blackbox-exporter", f"--config.file={folder}/blackbox.yml",
                       f"--web.listen-address=127.0.0.1:{port}"])
    process.url = f"http://127.0.0.1:{port}/probe"
    process.until(lambda: get(f"http://127.0.0.1:{port}/-/healthy"), "blackbox_exporter")
    return process


SCRIPT_REQUESTS = """
import sys, time, requests
from prometheus_client import Gauge
base, accounts = sys.argv[1], int(sys.argv[2])
gauge = Gauge("balance", "balance", ["account"])
began = time.process_time()
for account in range(accounts):
    reply = requests.get(f"{base}/p0/apicall/balancecheck/v3/{94700000000 + account}/transactions/amount/balance",
                         headers={"Authorization": "Bearer token-of-the-rig"}, timeout=10)
    gauge.labels(str(account)).set(float(reply.json()["accountInfo"]["balance"]))
print((time.process_time() - began) * 1e3 / accounts)
"""

SCRIPT_AIOHTTP = """
import asyncio, sys, time, aiohttp
from prometheus_client import Gauge
base, accounts = sys.argv[1], int(sys.argv[2])
gauge = Gauge("balance", "balance", ["account"])
async def poll(session, account):
    url = f"{base}/p0/apicall/balancecheck/v3/{94700000000 + account}/transactions/amount/balance"
    async with session.get(url, headers={"Authorization": "Bearer token-of-the-rig"}) as reply:
        gauge.labels(str(account)).set(float((await reply.json())["accountInfo"]["balance"]))
async def main():
    began = time.process_time()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100, force_close=sys.argv[3] == "close")) as session:
        await asyncio.gather(*(poll(session, account) for account in range(accounts)))
    print((time.process_time() - began) * 1e3 / accounts)
asyncio.run(main())
"""


def script(installed, folder, text, *arguments):
    """Runs one of the scripts above; milliseconds of processor time per poll."""
    (folder / "script.py").write_text(text)
    words = [installed / "python/bin/python", folder / "script.py", *arguments]
    return float(subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout)
