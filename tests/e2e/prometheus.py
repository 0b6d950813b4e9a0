"""A real Prometheus that scrapes the exporter each second, and promtool."""

import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

from answer import ask
from program import Program, until

CONFIG = """\
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: balances
    static_configs: [{ targets: ["%s"] }]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus(Program):
    def __init__(self, folder, target, directory, scrapes=None):
        config = directory / "prometheus.yml"
        config.write_text(scrapes or CONFIG % target, "utf-8")
        self.url = f"http://127.0.0.1:{free_port()}"
        arguments = [Path(folder, "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
        arguments += [f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn"]
        super().__init__("prometheus", arguments, directory)

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, self.log
            try:
                return ask(f"{self.url}/-/ready").status == 200
            except ConnectionRefusedError:
                return False

        until(ready, 20, "Prometheus is ready")

    def query(self, expression):
        """Instant values: labels and value, in pairs."""
        answer = ask(f"{self.url}/api/v1/query?query={quote(expression)}").json
        assert answer["status"] == "success", answer
        return [(each["metric"], each["value"][1]) for each in answer["data"]["result"]]


def check_metrics(folder, text):
    """What promtool has to say about a text exposition: nothing, if all is well."""
    run = subprocess.run(
        [Path(folder, "promtool"), "check", "metrics"], input=text.encode(), capture_output=True, timeout=30, check=False
    )
    return (run.stdout + run.stderr).decode() + (f"exit status {run.returncode}" if run.returncode else "")
