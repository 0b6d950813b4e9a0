"""Real servers that scrape the exporter each second and answer queries: Prometheus and VictoriaMetrics. And promtool."""

import subprocess
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

from answer import ask
from exporter import FIGURES
from hurry import FACTOR
from program import Program, free_port, until

SCRAPE = """\
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: balances
    static_configs: [{ targets: ["%s"] }]
"""


class Server(Program):
    """What both have in common: they speak the same API."""

    def __init__(self, name, arguments, directory):
        self.place = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.place}"
        super().__init__(name, [argument.replace("PLACE", self.place) for argument in arguments], directory)

    def ask(self, path):
        answer = ask(f"{self.url}{path}").json
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        """Instant values: labels and value, in pairs."""
        found = self.ask(f"/api/v1/query?query={quote(expression)}")["result"]
        return [(each["metric"], each["value"][1]) for each in found]

    def balances(self):
        """Every figure that it holds, as the exact number that it tells."""
        stored = {}
        for name, figure in FIGURES.items():
            for labels, value in self.query(name):
                place = (labels[key] for key in ("provider", "account", "wallet", "currency"))
                stored[*place, figure] = Decimal(value)
        return stored


class Prometheus(Server):
    """With the rules that its configuration names; it repeats alerts a sixtieth as late as usual, as all else here."""

    def __init__(self, folder, config, directory):
        arguments = [str(Path(folder, "prometheus")), f"--config.file={config}", "--web.listen-address=PLACE"]
        arguments += [f"--storage.tsdb.path={directory / 'data'}", "--log.level=warn"]
        arguments += [f"--rules.alert.resend-delay={60 // FACTOR}s"]
        super().__init__("prometheus", arguments, directory)

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, self.log
            try:
                return ask(f"{self.url}/-/ready").status == 200
            except ConnectionRefusedError:
                return False

        until(ready, 20, "Prometheus is ready")

    def firing(self):
        """Which alert fires for which account; None where an alert is about no account."""
        found = self.query('ALERTS{alertstate="firing"}')
        return {(labels["alertname"], labels.get("provider"), labels.get("account")) for labels, _ in found}

    def seconds_without(self, series, start, end):
        """The seconds between two times at which a series was not there."""
        query = f"/api/v1/query_range?query={quote(series)}&start={start:.0f}&end={end:.0f}&step=1"
        there = {int(at) for each in self.ask(query)["result"] for at, _ in each["values"]}
        return sorted(set(range(round(start), round(end) + 1)) - there)


class VictoriaMetrics(Server):
    def __init__(self, folder, target, directory):
        config = directory / "victoria-metrics.yml"
        config.write_text(SCRAPE % target, "utf-8")
        arguments = [str(Path(folder, "victoria-metrics")), f"-promscrape.config={config}", "-httpListenAddr=PLACE"]
        # else it hides the last half a minute
        arguments += [f"-storageDataPath={directory / 'victoria-metrics'}", "-search.latencyOffset=0s", "-loggerLevel=WARN"]
        super().__init__("victoria-metrics", arguments, directory)


def check_metrics(folder, text):
    """What promtool has to say about a text exposition: nothing, if all is well."""
    run = subprocess.run(
        [Path(folder, "promtool"), "check", "metrics"], input=text.encode(), capture_output=True, timeout=30, check=False
    )
    return (run.stdout + run.stderr).decode() + (f"exit status {run.returncode}" if run.returncode else "")
