"""Who may come in: the same web configurations and requests, to the exporter and to another exporter that has them, and
what each of them does: `doors.py BINARY FOLDER_OF_PROMETHEUS`.

The other one is Debian's prometheus-node-exporter. Where we do something else on purpose, the table says so.
"""

import base64
import http.client
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from program import Program, until
from prometheus import Prometheus, free_port

# open-sesame, of cost 4: quick to compare
HASH = "$2b$04$abcdefghijklmnopqrstuuXcjcm5avyCiJoD2uS24xa2lb6fjMB3G"
USERS = f"basic_auth_users: {{ ali: {HASH} }}\n"
PAIR = "  cert_file: server.pem\n  key_file: server.key\n"
TLS = f"tls_server_config:\n{PAIR}"
MUTUAL = f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
REFUSED = "does not start"
NO_SESSION = "no session"

GOOD, BAD, NOBODY = "ali:open-sesame", "ali:open-barley", "cassim:open-sesame"

# what it is about, web configuration, how to ask (scheme, certificate, credentials, versions of TLS), what the other does,
# and what we do if that differs
CASES = [
    ("no settings", "{}\n", dict(), 200),
    ("unknown key", "tls_config: {}\n", dict(), REFUSED),
    ("unknown key of TLS", f"{TLS}  certs: x\n", dict(), REFUSED),
    ("a list", "- a\n", dict(), REFUSED),
    ("broken YAML", "a: [\n", dict(), REFUSED),
    ("an empty file", "", dict(), 200, REFUSED),
    ("empty TLS", "tls_server_config: {}\n", dict(), 200, REFUSED),
    ("password, right", USERS, dict(credentials=GOOD), 200),
    ("password, wrong", USERS, dict(credentials=BAD), 401),
    ("password, none", USERS, dict(), 401),
    ("password, unknown name", USERS, dict(credentials=NOBODY), 401),
    ("password, empty", USERS, dict(credentials="ali:"), 401),
    ("password, name in capitals", USERS, dict(credentials="ALI:open-sesame"), 401),
    ("password, no colon", USERS, dict(credentials="ali"), 401),
    ("password, other scheme", USERS, dict(authorization="Bearer open-sesame"), 401),
    ("password, scheme in small letters", USERS, dict(credentials=GOOD, scheme_of_auth="basic"), 200),
    ("password, not base64", USERS, dict(authorization="Basic %%%"), 401),
    ("password, on the page", USERS, dict(path="/"), 401),
    ("password, on a path that is not there", USERS, dict(path="/nothing"), 401),
    ("hash that is none", "basic_auth_users: { ali: open-sesame }\n", dict(), REFUSED),
    ("hash that is short", f"basic_auth_users: {{ ali: {HASH[:50]} }}\n", dict(), REFUSED),
    ("users as a list", "basic_auth_users: [ali]\n", dict(), REFUSED),
    ("header that may be set", "http_server_config: { headers: { X-Frame-Options: deny } }\n", dict(), 200),
    ("header with a wrong value", "http_server_config: { headers: { X-Frame-Options: no } }\n", dict(), REFUSED),
    ("header that may not be set", "http_server_config: { headers: { Server: x } }\n", dict(), REFUSED),
    ("header in another spelling", "http_server_config: { headers: { x-frame-options: deny } }\n", dict(), REFUSED),
    ("http2 off", "http_server_config: { http2: false }\n", dict(), 200),
    ("TLS", TLS, dict(scheme="https"), 200),
    ("TLS, asked without", TLS, dict(), 400),
    ("TLS, two in one", TLS + USERS, dict(scheme="https", credentials=GOOD), 200),
    ("TLS, wrong password", TLS + USERS, dict(scheme="https", credentials=BAD), 401),
    ("TLS 1.2 only asked for", TLS, dict(scheme="https", version="1.2"), 200),
    ("TLS 1.3 only asked for", TLS, dict(scheme="https", version="1.3"), 200),
    ("at least 1.3, asked with 1.2", f"{TLS}  min_version: TLS13\n", dict(scheme="https", version="1.2"), NO_SESSION),
    ("at most 1.2, asked with 1.3", f"{TLS}  max_version: TLS12\n", dict(scheme="https", version="1.3"), NO_SESSION),
    ("at most 1.2, asked with 1.2", f"{TLS}  max_version: TLS12\n", dict(scheme="https", version="1.2"), 200),
    ("TLS 1.1 allowed", f"{TLS}  min_version: TLS11\n", dict(scheme="https"), 200, REFUSED),
    ("a version that is none", f"{TLS}  min_version: TLS9\n", dict(), REFUSED),
    ("certificate without key", "tls_server_config:\n  cert_file: server.pem\n", dict(), REFUSED),
    ("key without certificate", "tls_server_config:\n  key_file: server.key\n", dict(), REFUSED),
    ("certificate that is not there", TLS.replace("server.pem", "absent.pem"), dict(), REFUSED),
    ("key of another certificate", TLS.replace("server.key", "client.key"), dict(), REFUSED),
    ("a suite of TLS 1.2", f"{TLS}  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n", dict(scheme="https", version="1.2"), 200),
    ("a suite that is none", f"{TLS}  cipher_suites: [TLS_NONE]\n", dict(), REFUSED),
    ("a curve", f"{TLS}  curve_preferences: [CurveP256]\n", dict(scheme="https"), 200),
    ("a curve that is none", f"{TLS}  curve_preferences: [CurveP9]\n", dict(), REFUSED),
    ("authorities without policy", f"{TLS}  client_ca_file: ca.pem\n", dict(), REFUSED),
    ("a policy that is none", f"{TLS}  client_auth_type: Perhaps\n", dict(), REFUSED),
    ("asks for a certificate, none", f"{TLS}  client_auth_type: RequestClientCert\n", dict(scheme="https"), 200),
    ("asks for a certificate, any", f"{TLS}  client_auth_type: RequestClientCert\n", dict(scheme="https", certificate="stranger"), 200),
    ("any certificate, none", f"{TLS}  client_auth_type: RequireAnyClientCert\n", dict(scheme="https"), NO_SESSION),
    ("any certificate, a stranger's", f"{TLS}  client_auth_type: RequireAnyClientCert\n", dict(scheme="https", certificate="stranger"), 200),
    ("verified if given, none", MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"), dict(scheme="https"), 200),
    ("verified if given, good", MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"), dict(scheme="https", certificate="client"), 200),
    ("verified if given, a stranger's", MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"), dict(scheme="https", certificate="stranger"), NO_SESSION),
    ("verified, none", MUTUAL, dict(scheme="https"), NO_SESSION),
    ("verified, good", MUTUAL, dict(scheme="https", certificate="client"), 200),
    ("verified, a stranger's", MUTUAL, dict(scheme="https", certificate="stranger"), NO_SESSION),
    ("verified, good, but no password", MUTUAL + USERS, dict(scheme="https", certificate="client"), 401),
    ("verified, good, and the password", MUTUAL + USERS, dict(scheme="https", certificate="client", credentials=GOOD), 200),
    ("verified, without TLS", MUTUAL, dict(), 400),
    ("a name of a client", f"{MUTUAL}  client_allowed_sans: [x, client.example]\n", dict(scheme="https", certificate="client"), REFUSED, 200),
    ("another name of a client", f"{MUTUAL}  client_allowed_sans: [x, 127.0.0.1]\n", dict(scheme="https", certificate="client"), REFUSED, NO_SESSION),
    ("an authority here", f"{TLS}  client_ca: x\n", dict(), REFUSED),
    ("a limit", "rate_limit: { interval: 1s, burst: 9 }\n", dict(), REFUSED, 200),
]


def certificates(folder):
    """An authority with a server and a client, and a stranger."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    def new(name, *more):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *curve, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *more)

    new("ca")
    new("stranger")
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1" if name == "server" else "subjectAltName=DNS:client.example"
        (folder / f"{name}.ext").write_text(f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n{names}\n", "ascii")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")


class Door(Program):
    """An exporter with a web configuration; whether it has started at all is a part of the answer."""

    def __init__(self, name, arguments, port, logs):
        super().__init__(name, arguments, logs)
        self.port = port

    def opens(self, seconds=20):
        """False if it ends instead."""

        def told():
            if self.process.poll() is not None:
                return "ended"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return "open"
            except ConnectionRefusedError:
                return None

        return until(told, seconds, f"{self.name} opens or ends") == "open"


def ours(binary, web, port, logs):
    arguments = [binary, "demo", "--web.config.file", web, "--web.listen-address", f"127.0.0.1:{port}"]
    return Door("ours", arguments, port, logs)


def theirs(folder, web, port, logs):
    arguments = [Path(folder, "prometheus-node-exporter"), "--web.config.file", web, "--web.listen-address"]
    arguments += [f"127.0.0.1:{port}", "--collector.disable-defaults", "--collector.uname"]
    return Door("theirs", arguments, port, logs)


def status(folder, port, scheme="http", path="/metrics", certificate=None, credentials=None, authorization=None, version=None, scheme_of_auth="Basic"):
    """The status of an answer, or that there is no session."""
    if scheme == "https":
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        if version:
            wanted = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
            context.minimum_version = context.maximum_version = wanted
        if certificate:
            context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    if credentials is not None:
        authorization = f"{scheme_of_auth} {base64.b64encode(credentials.encode()).decode()}"
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        return connection.getresponse().status
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return NO_SESSION
    finally:
        connection.close()


def check_against_another(binary, tools, folder):
    """Every case of the table, with both; returns how many."""
    certificates(folder)
    wrong, by_config = [], {}
    for about, config, asked, expected, *differs in CASES:
        by_config.setdefault(config, []).append((about, asked, expected, differs[0] if differs else expected))
    web = folder / "web.yaml"
    for config, cases in by_config.items():
        web.write_text(config, "utf-8")
        with theirs(tools, web, free_port(), folder) as other, ours(binary, web, free_port(), folder) as us:
            doors = [(other, other.opens()), (us, us.opens())]
            for about, asked, *expected in cases:
                found = [status(folder, door.port, **asked) if opened else REFUSED for door, opened in doors]
                if found != expected:
                    wrong.append(f"{about}: expected of the other and of us {expected}, found {found}")
    assert not wrong, "\n".join(wrong)
    return len(CASES)


SCRAPES = """\
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: balances
    scheme: https
    basic_auth: { username: ali, password: open-sesame }
    tls_config: { ca_file: %(folder)s/ca.pem, cert_file: %(folder)s/client.pem, key_file: %(folder)s/client.key }
    static_configs: [{ targets: ["127.0.0.1:%(port)s"] }]
"""


def check_prometheus(binary, tools, folder):
    """Prometheus comes in with a certificate and a password, while somebody guesses passwords."""
    web, port = folder / "web.yaml", free_port()
    web.write_text(MUTUAL + USERS, "utf-8")
    with ours(binary, web, port, folder) as us:
        assert us.opens(), us.log
        config = folder / "prometheus.yml"
        config.write_text(SCRAPES % {"folder": folder, "port": port}, "utf-8")
        with Prometheus(tools, config, folder) as prometheus:
            prometheus.wait_ready()
            until(lambda: [value for _, value in prometheus.query("up")] == ["1"], 30, "Prometheus comes in")
            asked = dict(scheme="https", certificate="client")
            for guess in range(300):
                found = status(folder, port, credentials=f"ali:{guess}", **asked)
                assert found in (401, 429), found
            (found,) = prometheus.query("min_over_time(up[1m])")
            assert found[1] == "1", "a scrape failed while somebody guessed passwords"
    assert "open-sesame" not in us.log


def check_doors(binary, tools, folder):
    began = time.monotonic()
    count = check_against_another(binary, tools, folder)
    check_prometheus(binary, tools, folder)
    return f"{count} cases in {time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="balance-exporter-doors-") as name:
        print(check_doors(*(Path(argument).resolve() for argument in sys.argv[1:3]), Path(name)))
