"""An exporter in a state worth looking at: the real binary, with its configuration written for it."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from answer import ask
from program import Program, until
from provider import BROKEN, CRITICAL, LOST, LOW, REFUSED, THROTTLED, WELL

# open-sesame, of cost 4: quick to compare
USERS = 'basic_auth_users: { ali: "$2b$04$abcdefghijklmnopqrstuuXcjcm5avyCiJoD2uS24xa2lb6fjMB3G" }\n'
THRESHOLDS = "thresholds: { payout: { warning: 4000, critical: 1500 }, sms: { warning: 50 } }"


def entry(name, url, accounts, environment="production"):
    """A provider entry with these accounts: name, service id and further keys of each."""
    text = f"""  - name: {name}
    api: bridge
    username: {name}
    password: {{ env: BROWSER_TEST_PASSWORD }}
    base_url: {url}
    rate_limit: {{ requests: 100000, per: 1m }}
    accounts:{'' if accounts else ' []'}
"""
    return text + "".join(
        f"      - {{ name: {account}, service_id: {service}, currency: GHS, {keys} }}\n" for account, service, keys in accounts
    )


def nothing(url):
    return entry("bridge-gh", url, [])


def five(url):
    """One of each kind that a newcomer asks about; the sixth state is that of a whole provider."""
    quick = f"interval: 5s, timeout: 1s, stale_after: 6s, {THRESHOLDS}"
    slow = f"interval: 5m, stale_after: 1h, {THRESHOLDS}"
    return (
        entry("bridge-gh", url, [("accra-payouts", 100 + WELL, f"{slow}, labels: {{ team: treasury }}"), ("kumasi-payouts", 100 + CRITICAL, slow)])
        + entry("bridge-sl", url, [("freetown-refused", 100 + REFUSED, slow)])
        + entry("bridge-lr", url, [("monrovia-lost", 100 + LOST, quick)])
        + entry("bridge-ng", url, [("lagos-throttled", 100 + THROTTLED, slow)])
    )


def thousand(url):
    """Mostly well, as a fleet is."""
    fates = {7: LOW, 77: CRITICAL, 500: BROKEN, 777: REFUSED, 900: LOW}
    slow = f"interval: 10m, stale_after: 1h, {THRESHOLDS}"
    accounts = [(f"merchant-{number:04}", number * 10 + fates.get(number, WELL), slow) for number in range(1000)]
    return entry("bridge-east", url, accounts[:600]) + entry("bridge-west", url, accounts[600:])


class Exporter(Program):
    def __init__(self, binary, folder, name, providers, hide=False, users=False):
        self.config = folder / f"{name}.yaml"
        self.providers = providers
        self.write(hide)
        arguments = ["env", "BROWSER_TEST_PASSWORD=open-sesame", binary, "--config.file", self.config]
        arguments += ["--web.listen-address", "127.0.0.1:0", "--web.enable-lifecycle"]
        if users:
            web = folder / "web.yaml"
            web.write_text(USERS, "utf-8")
            arguments += ["--web.config.file", web]
        super().__init__(name, arguments, folder)
        self.url = self.address(r"serving on (http://[0-9.:]+)/")

    def write(self, hide):
        self.config.write_text(f"web: {{ hide_amounts: {str(hide).lower()} }}\nproviders:\n{self.providers}", "utf-8")

    def hide(self, hide):
        """Has it read another mind."""
        self.write(hide)
        self.signal(signal.SIGHUP)
        until(lambda: self.accounts()["amounts_hidden"] is hide, 10, "the reload")

    def accounts(self, query=""):
        return ask(f"{self.url}/api/v1/accounts{query}").json

    def account(self, name):
        return ask(f"{self.url}/api/v1/accounts/{name}").json

    def wait_until_ready(self):
        until(lambda: ask(f"{self.url}/-/ready").status == 200, 30, "every account was polled")
