"""Refresh tokens that serve once: killed around every refresh, the exporter must not lose the one it lives on.

A witness stands between the exporter and the login. It knows which tokens were handed out, and which were used.
"""

import json
import os
import re
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from answer import ask

KILLS = int(os.environ.get("CRASH_TOKEN_KILLS", 12))
# below what the sandbox allows, so that there is room for the log-ins by hand
LIMITS = {"dialog": [(54, 60)], "payby": [(3, 10)], "bridge": [(3, 10)], "smilepayz": [(7, 12)]}


class Witness:
    """Passes everything on to the sandbox, and remembers the tokens."""

    def __init__(self, target):
        witness = self
        self.target = target
        self.refresh_of, self.used, self.refused = {}, set(), 0
        # those from before somebody logged in by hand: the one that was kept is tried once before the new one
        self.given_up = set()
        self.newest, self.refreshes, self.changing = None, 0, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = witness.pass_on(self.command, self.path, dict(self.headers), body)
                try:
                    self.send_response(answer.status)
                    for name in ("content-type",):
                        self.send_header(name, answer.headers.get(name, "text/plain"))
                    self.send_header("content-length", str(len(answer.raw)))
                    self.end_headers()
                    self.wfile.write(answer.raw)
                except ConnectionError:
                    pass  # whoever asked is dead

            do_GET = do_POST = do

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def pass_on(self, method, path, headers, body):
        headers = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        bearer = next((value[7:] for name, value in headers.items() if value.startswith("Bearer ")), None)
        with self.changing:
            answer = ask(self.target + path, method, headers, body or None)
            if bearer:
                self.used.add(bearer)
            if path.endswith("/token"):
                self.judge_login(parse_qs(body.decode()), answer)
            return answer

    def judge_login(self, form, answer):
        if answer.status == 200:
            self.newest = answer.json["access_token"]
            self.refresh_of[self.newest] = answer.json["refresh_token"]
            self.refreshes += form["grant_type"] == ["refresh_token"]
        elif form.get("refresh_token", [None])[0] not in self.given_up:
            self.refused += 1

    def lost(self, kept):
        """True if the newest token was handed out, and never came to stay."""
        return self.newest is not None and self.refresh_of[self.newest] not in kept


def first_refresh_token(url, secret):
    basic = b64encode(f"sandbox-consumer:{secret}".encode()).decode()
    form = {"grant_type": "password", "username": "sandbox-operator", "password": "sandbox:operator=password"}
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(f"{url}/apicall/token", "POST", headers, urlencode(form | {"scope": "PRODUCTION"}))
    assert answer.status == 200, answer.text
    return answer.json["refresh_token"]


def refresh_tokens_survive(ground, chance, told):
    parts = urlsplit(ground.sandbox.url)
    secret = (ground.folder / "dialog.client_secret").read_text("utf-8").strip()
    token_file = ground.folder / "dialog.refresh_token"
    lost = again = 0
    lost_before = False
    with Witness(f"http://{parts.netloc}") as witness:
        text = ground.config.good.replace("grant: client_credentials", "grant: refresh_token", 1)
        text = re.sub(r"(      client_secret: .*\n)", r"\1      refresh_token: { file: dialog.refresh_token }\n", text, count=1)
        text = text.replace(f"http://{parts.netloc}", witness.url, 1)
        ground.config.path.write_text(text, "utf-8")

        def operator_logs_in():
            witness.given_up |= set(witness.refresh_of.values())
            token_file.write_text(first_refresh_token(witness.url, secret), "utf-8")
            token_file.chmod(0o600)

        operator_logs_in()
        for _ in range(KILLS):
            ground.sandbox.expire_tokens()
            refreshes, refused = witness.refreshes, witness.refused
            with ground.life() as life:
                end = time.monotonic() + 75
                while witness.refreshes == refreshes and witness.refused == refused and time.monotonic() < end:
                    time.sleep(0.0005)
                if witness.refused > refused:
                    # it can only have been the token that was on its way when we killed it
                    assert lost_before, f"locked out although the newest token was kept:\n{life.log}"
                    again += 1
                    operator_logs_in()
                    life.kill()
                    lost_before = False
                    continue
                assert witness.refreshes > refreshes, f"no refresh in 75 s:\n{life.log}"
                time.sleep(chance.choice([0, chance.uniform(0, 0.002), chance.uniform(0, 0.02)]))
                life.kill()
            with witness.changing:
                kept = ground.file("sessions").read_text("utf-8") if ground.file("sessions").exists() else ""
                lost_before = witness.lost(kept)
                lost += lost_before
                assert not (lost_before and witness.newest in witness.used), "a token was used before it was kept"
        assert json.dumps(sorted(ground.sandbox.broken_rules().get("dialog", {}))).count("used before") <= again
    told["refresh tokens"] = (
        f"{KILLS} kills, {witness.refreshes} refreshes, {lost} tokens on their way at the kill, {again} log-ins by hand"
    )


refresh_tokens_survive.ground = {"limits": LIMITS}
