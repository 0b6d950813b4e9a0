"""A copy of the sandbox's configuration that tests can change: quick to poll, quick to go stale, tight limits."""

import re

DEFAULTS = "{ interval: %s, timeout: 2s, stale_after: 12s }"
STALE_AFTER = 12
# one request above what the accounts need, so that the limit is felt and not only obeyed
LIMITS = {
    "dialog": [(50, 60), (4, 1)],
    "payby": [(26, 60)],
    "bridge": [(26, 60), (2, 1)],
    "smilepayz": [(50, 60)],
}


class Config:
    def __init__(self, written, limits=LIMITS, state=None, interval="5s"):
        """From the file that the sandbox wrote; the copy stands beside it, where the secrets are."""
        self.written = written
        self.path = written.with_name("quick.yaml")
        self.good = self._quick(written.read_text("utf-8"), limits, interval)
        if state:
            self.good += f"state: {{ file: {state} }}\n"
        self.restore()

    @staticmethod
    def _quick(text, limits, interval):
        text, changed = re.subn(r"(?m)^defaults: .*$", f"defaults: {DEFAULTS % interval}", text)
        text, paces = re.subn(r"(?m)^( +)interval: \w+$", rf"\g<1>interval: {interval}", text)
        assert (changed, paces > 8) == (1, True), "the sandbox writes its configuration in another form now"
        for provider, windows in limits.items():
            lines = "".join(f"\n      - {{ requests: {requests}, per: {seconds}s }}" for requests, seconds in windows)
            entry = rf"(?s)(  - name: {provider}\n.*?rate_limit:)(?:\n      - \{{ requests[^\n]*)+"
            text, changed = re.subn(entry, rf"\g<1>{lines}", text, count=1)
            assert changed == 1, f"{provider} has no rate_limit"
        return text

    def restore(self):
        self._write(self.good)

    def spoil(self, secret):
        """A misspelt key with what may be a secret behind it; returns the line it is on."""
        lines = self.good.splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if line.startswith("    username:"))
        lines.insert(at, f"    passwrod: {secret}\n")
        self._write("".join(lines))
        return at + 1

    def _write(self, text):
        self.path.write_text(text, "utf-8")
        self.path.chmod(0o600)
