"""A real Prometheus over data that was written before it started."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


def backfill(promtool, text, folder):
    """Makes blocks of OpenMetrics text that has timestamps."""
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=24h", text, folder],
        check=True,
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """As a context: it runs inside, and is stopped at the end."""

    def __init__(self, program, data, folder):
        config, self.log = folder / "prometheus.yml", folder / "prometheus.log"
        config.write_text("{}\n", "utf-8")
        self.url = f"http://127.0.0.1:{free_port()}"
        arguments = [Path(program), f"--config.file={config}", f"--storage.tsdb.path={data}", "--log.level=warn"]
        # the data is of no certain date
        arguments += ["--storage.tsdb.retention.time=100y", "--web.cors.origin=.*"]
        arguments += [f"--web.listen-address={self.url.removeprefix('http://')}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log)

    def __enter__(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text("utf-8")
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError("Prometheus is not ready after 30 s")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def ask(self, path, **parameters):
        """What the API answers, or why not: data and error, one of which is None."""
        body = urllib.parse.urlencode(parameters, doseq=True).encode()
        get = path.startswith("label/")
        address = f"{self.url}/api/v1/{path}" + (f"?{body.decode()}" if get else "")
        try:
            with urllib.request.urlopen(address, data=None if get else body, timeout=30) as answer:
                return json.load(answer)["data"], None
        except urllib.error.HTTPError as refused:
            return None, json.load(refused)["error"]
