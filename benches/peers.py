"""The peers: fetched from Debian and PyPI into a folder, configured for the same series or the same polls, and started."""

import gzip
import os
import subprocess
import sys

from stand import Failed, Process, Programs, free_port, get

PACKAGES = ["nginx", "prometheus", "prometheus-node-exporter", "prometheus-pushgateway", "prometheus-blackbox-exporter"]
PYTHON = ["prometheus-client==0.26.0", "requests", "aiohttp"]


def install(folder):
    """Nothing is started, and dpkg is not asked to install anything; what is there is not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in PACKAGES if not list(folder.glob(f"{package}_*.deb"))]
    if missing:
        # apt's own user writes here
        os.chmod(folder, 0o755)
        if subprocess.run(["apt-get", "-qq", "download", *missing], cwd=folder, check=False).returncode:
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            subprocess.run(["apt-get", "-qq", "download", *missing], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    wanted = "\n".join(PYTHON)
    installed = folder / "python/installed"
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True)
        subprocess.run([folder / "python/bin/pip", "install", "--quiet", "--no-input", *PYTHON], check=True)
        installed.write_text(wanted)


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


def nginx(installed, folder, text):
    """Serves ready bytes, and compressed ones to who takes them: nothing is nearer to the limit."""
    (folder / "www").mkdir()
    (folder / "www/metrics").write_text(text)
    (folder / "www/metrics.gz").write_bytes(gzip.compress(text.encode(), 6))
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


def crate(name):
    """A registry of a Rust crate that holds the series."""
    def start(installed, folder, text):
        file = folder / "accounts.prom"
        file.write_text(text)
        process = Process([Programs.named("peers"), name, file], stdout=subprocess.PIPE)
        process.url = process.address()
        return process
    return start


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


# those that hold the series of the exporter, in the order in which they are asked
SERVERS = {
    "nginx": nginx,
    "prometheus-client": crate("prometheus-client"),
    "prometheus": crate("prometheus"),
    "Pushgateway": pushgateway,
    "node_exporter textfile": node_exporter,
    "Python prometheus_client": python,
}


def prometheus(installed, folder, jobs, interval_s):
    """Scrapes the `jobs`, which are addresses by name."""
    port = free_port()
    lines = [f"global: {{ scrape_interval: {interval_s}s, scrape_timeout: {interval_s}s }}", "scrape_configs:"]
    for job, url in jobs.items():
        address = url.removeprefix("http://").split("/")[0]
        lines.append(f"  - {{ job_name: {job}, static_configs: [{{ targets: ['{address}'] }}] }}")
    (folder / "prometheus.yml").write_text("\n".join(lines) + "\n")
    process = Process([installed / "root/usr/bin/prometheus", f"--config.file={folder}/prometheus.yml",
                       f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"])
    process.url = f"http://127.0.0.1:{port}"
    process.until(lambda: get(process.url + "/-/ready"), "Prometheus")
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
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"a script in Python: {done.stderr.strip()}")
    return float(done.stdout)
