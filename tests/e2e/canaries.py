"""Secrets that must not be seen, whatever happens: `canaries.py BINARY`, as root.

Keys, passwords, names and numbers are new each time, for all four APIs; CANARIES_SEED makes them again, but for the
keys. The real binary works with them at `--log.level trace`, in both forms of the log, against providers that repeat
all they know in every place of an answer, and against the sandbox with each of its faults; it is given configurations
that hold a secret where none belongs; it is asked for everything; it is killed in every way that leaves a core. Then
all that it has shown is searched for pieces of the secrets, in all the forms that a program gives to them.
"""

import json
import os
import random
import resource
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import traces
from answer import ask
from parrot import MODES, Parrot
from program import Program, until
from sandbox import Sandbox

SEED = int(os.environ.get("CANARIES_SEED") or random.SystemRandom().randrange(1_000_000))
CHANCE = random.Random(SEED)
# whoever is not root: nobody
NOBODY = 65534
CORE_SIGNALS = [signal.SIGQUIT, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ]
OTHER_SIGNALS = [signal.SIGKILL, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGSTKFLT]
API = ["/api/v1/accounts", "/api/v1/openapi.json", *(f"/{way}/accounts/{api}-0/{api}-0" for way in ("api/v1", "health") for api in ("bridge", "payby", "smilepayz", "dialog"))]
LOGINS = ["message", "fault", "fault-xml", "status-401", "page", "not-json", "as-key-twice", "header-line"]


def new(what, length=24):
    """A secret with all that has to be escaped somewhere, and nothing that is in another."""
    odd = list('"\\/+&=%<é ')
    CHANCE.shuffle(odd)
    plain = [CHANCE.choice(string.ascii_letters + string.digits) for _ in range(length)]
    return what[:1] + "".join(plain[:12]) + "".join(odd) + "".join(plain[12:])


def plain(length=28):
    return "".join(CHANCE.choice(string.ascii_letters + string.digits) for _ in range(length))


def number(length):
    return "9" + "".join(CHANCE.choice(string.digits) for _ in range(length - 1))


class Secrets:
    """Everything that must not be seen."""

    def __init__(self):
        self.bridge = (plain(), new("bridge"))
        self.client, self.client_secret, self.user, self.password = plain(), plain(), new("user"), new("password")
        self.merchant_secret, self.token, self.refresh = CHANCE.randbytes(32).hex(), plain(40), plain(40)
        self.payby_key, self.smilepayz_key, self.platform_key = traces.new_key(), traces.new_key(), traces.new_key()
        self.msisdn, self.account_no, self.member = "94" + number(9), number(20), number(12)
        self.service, self.inline, self.env = number(9), new("inline"), plain()
        self.traces = traces.Traces()
        for name in ("client", "client_secret", "user", "password", "merchant_secret", "token", "refresh", "inline", "env"):
            self.traces.text(name, getattr(self, name))
        for name, text in zip(("bridge user", "bridge password"), self.bridge):
            self.traces.text(name, text)
        self.traces.login("bridge login", *self.bridge)
        for name in ("payby_key", "smilepayz_key", "platform_key"):
            self.traces.key(name, getattr(self, name))
        for name in ("msisdn", "account_no", "member", "service"):
            self.traces.number(name, getattr(self, name))

    def known_to_providers(self):
        return {
            "bridge": list(self.bridge) + [self.service],
            "payby": [self.member],
            "smilepayz": [self.merchant_secret, self.account_no],
            "dialog": [self.client, self.client_secret, self.user, self.password, self.msisdn],
        }


def write(path, text, owner=0, mode=0o600):
    path.write_text(text, "utf-8")
    path.chmod(mode)
    os.chown(path, owner, owner)
    return path


def configure(folder, known, port, accounts, owner=0, state=None, more=""):
    """Every API with so many accounts, each of a provider entry of its own: one that is throttled stops all of them."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    os.chown(folder, owner, owner)
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=known.platform_key, capture_output=True, text=True, check=True).stdout
    files = {
        "bridge.password": known.bridge[1], "payby.key": known.payby_key, "payby.pub": public, "smile.key": known.smilepayz_key,
        "smile.secret": known.merchant_secret, "dialog.secret": known.client_secret, "dialog.password": known.password,
    }
    for name, text in files.items():
        write(folder / name, text, owner)

    def entry(api, lines, own):
        body = "".join(f"    {line}\n" for line in lines)
        return "".join(
            f"  - name: {api}-{each}\n    api: {api}\n    environment: sandbox\n    base_url: http://127.0.0.1:{port}/{each}\n{body}"
            f"    rate_limit: {{ requests: 5000, per: 1s }}\n    accounts:\n      - {{ name: {api}-{each}, {own} }}\n"
            for each in range(accounts)
        )

    login = [f"login: {{ grant: password, client_id: {known.client}, client_secret: {{ file: dialog.secret }}, username: {json.dumps(known.user)}, password: {{ file: dialog.password }} }}"]
    text = "defaults: { interval: 5s, timeout: 4s, stale_after: 12s }\n" + (f"state: {{ file: {state} }}\n" if state else "") + "providers:\n"
    text += entry("bridge", [f"username: {known.bridge[0]}", "password: { file: bridge.password }"], f"service_id: {known.service}, currency: GHS")
    text += entry("payby", ['partner_id: "200000018128"', "private_key: { file: payby.key }", "platform_public_key: { file: payby.pub }"], f'member_id: "{known.member}", currency: AED')
    text += entry("smilepayz", ['merchant_id: "sandbox-1"', "merchant_secret: { file: smile.secret }", "private_key: { file: smile.key }"], f'account_no: "{known.account_no}", currency: PEN')
    text += entry("dialog", login, f'msisdn: "{known.msisdn}"')
    return write(folder / "exporter.yaml", text + more, owner)


class Bench:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.shown, self.counts = {}, {}
        self.known = Secrets()
        self.parrot = Parrot(self.known.known_to_providers(), self.known.token, self.known.refresh)

    def run(self, *arguments, owner=None, environment=None, cwd=None, about=None):
        """A command to its end: its status, and all that it said, which is kept."""
        done = subprocess.run(
            [self.binary, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], **(environment or {})}, timeout=60, check=False, user=owner, group=owner,
            extra_groups=None if owner is None else [], cwd=cwd or self.folder,
        )
        self.shown[f"{about or ''} {' '.join(map(str, arguments[:3]))} #{len(self.shown)}"] = done.stdout
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def ask(self, url, method="GET", headers=None):
        answer = ask(url, method, headers)
        self.shown[f"{method} {url} {headers} #{len(self.shown)}"] = f"{answer.status} {answer.headers}\n".encode() + answer.body
        return answer


class Exporter(Program):
    """The daemon, as whoever it is told, without anything of ours in its environment."""

    def __init__(self, bench, name, config, *more, owner=None, scratch=None):
        self.bench, self.name, self.log_file = bench, name, bench.folder / f"{name}.log"
        arguments = [bench.binary, "--config.file", config, "--web.listen-address", "127.0.0.1:0", "--log.level", "trace", *more]

        def unlimited():
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [str(each) for each in arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"]}, user=owner, group=owner, extra_groups=None if owner is None else [],
                cwd=scratch or bench.folder, preexec_fn=unlimited,
            )
        self.url = self.address(r"serving on (https?://[0-9.:]+)/")

    def __exit__(self, *_):
        super().__exit__()
        self.bench.shown[f"log of {self.name}"] = self.log_file.read_bytes()

    def wait_polled(self, seconds=20):
        def all_polled():
            return self.bench.ask(f"{self.url}/-/ready").status == 200

        until(all_polled, seconds, "every account was polled")

    def ask_everything(self):
        openmetrics = {"Accept": "application/openmetrics-text;version=1.0.0"}
        for path in ("/metrics", "/", "/-/healthy", "/-/ready", "/nothing", "/metrics/../../etc/passwd", "/%2e%2e", "/-/reload", *API):
            for headers in (None, openmetrics, {"Authorization": "Basic !!!"}):
                self.bench.ask(f"{self.url}{path}", headers=headers)
            self.bench.ask(f"{self.url}{path}", "DELETE")
        with socket.create_connection(self.url.removeprefix("http://").split(":"), 5) as link:
            link.sendall(b"\0\xff garbage\r\n\r\n")
            self.bench.shown[f"answer of {self.name} to garbage"] = link.recv(1 << 16)

    def look_at_process(self):
        for name in ("cmdline", "environ", "comm", "status", "maps"):
            self.bench.shown[f"{name} of {self.name}"] = Path(f"/proc/{self.process.pid}/{name}").read_bytes()


def echoes_in_traces(bench):
    """Each place of an answer, with each thing in it, for each API: a poll by hand, with its trace."""
    config = configure(bench.folder / "traced", bench.known, bench.parrot.server_port, 1)
    cases = [(api, mode, None) for mode in MODES for api in ("bridge", "payby", "smilepayz", "dialog")]
    cases += [("dialog", None, (shape, content)) for shape in LOGINS for content in ("request", "secret", "quoted")]

    def one_api(wanted):
        masked = 0
        for number, (api, mode, login) in enumerate(case for case in cases if case[0] == wanted):
            bench.parrot.ordered[api] = mode or ("message", "secret")
            if api == "dialog":
                bench.parrot.login_ordered = login
            form = ("json", "text")[number % 2]
            status, text = bench.run("poll", f"{api}-0", "--trace", "--config.file", config, "--log.level", "trace", "--log.format", form, about=f"{api} {mode} {login}")
            assert status in (0, 1) and "--- request 1" in text, f"{api} {mode} {login}: exit {status}\n{text}"
            masked += "***" in text
        return masked

    with ThreadPoolExecutor(4) as pool:
        masked = sum(pool.map(one_api, ("bridge", "payby", "smilepayz", "dialog")))
    bench.parrot.ordered, bench.parrot.login_ordered = {}, None
    assert masked > len(cases) * 0.9, f"only {masked} of {len(cases)} traces hide anything"
    bench.counts["traces of echoes"] = len(cases)


def echoes_to_the_daemon(bench):
    """The same for the daemon, in both forms of the log, with everything that it can be asked; and what it writes down."""
    for form in ("text", "json"):
        folder = bench.folder / f"daemon-{form}"
        config = configure(folder, bench.known, bench.parrot.server_port, len(MODES), state="state")
        with Exporter(bench, f"daemon-{form}", config, "--log.format", form, "--web.enable-lifecycle") as exporter:
            exporter.wait_polled()
            exporter.ask_everything()
            exporter.look_at_process()
            # the same configuration again, and one with a secret where a number belongs
            assert bench.ask(f"{exporter.url}/-/reload", "POST").status == 200
            good = config.read_text("utf-8")
            for line in (f"    password: {json.dumps(bench.known.inline)}\n", f"    {plain(8)}: {json.dumps(bench.known.inline)}\n"):
                write(config, good.replace("    password: { file: bridge.password }\n", line))
                assert bench.ask(f"{exporter.url}/-/reload", "POST").status == 500
                exporter.signal(signal.SIGHUP)
            write(config, good)
            # secrets that cannot be used any more, and are looked at again
            write(folder / "payby.key", bench.known.payby_key[:900])
            until(lambda: "cannot be used" in exporter.log, 10, "the damaged key is noticed")
            write(folder / "payby.key", bench.known.payby_key)
            exporter.ask_everything()
            status, _ = exporter.stop()
            assert status == 0, exporter.log
            if form == "json":
                for line in exporter.log.splitlines():
                    json.loads(line)
        written = {path.name: path.read_bytes() for path in folder.glob("state*")}
        assert sum("accounts" in name or "limits" in name for name in written) >= 2, written.keys()
        assert any(bench.known.token.encode() in raw for name, raw in written.items() if ".sessions" in name), "the file of tokens holds none"
        bench.shown |= {f"state {form}/{name}": raw for name, raw in written.items() if ".sessions" not in name}
        for name in written:
            assert (folder / name).stat().st_mode & 0o7777 == 0o600, name


def sandbox_faults(bench):
    """Every fault that the sandbox knows: polled by hand, with its trace, with new keys."""
    folder = bench.folder / "pretended"
    with Sandbox(bench.binary, folder, bench.folder, name="pretended") as sandbox:
        listed = ask(f"{sandbox.url}/faults").json
        config = folder / "exporter.yaml"
        unlimited = (folder / "exporter.yaml").read_text("utf-8")
        for name in ("payby.key.pem", "smilepayz.key.pem"):
            bench.known.traces.key(f"sandbox {name}", (folder / name).read_text("ascii"))
        for name in ("dialog.password", "bridge.password", "dialog.client_secret", "smilepayz.merchant_secret"):
            bench.known.traces.text(f"sandbox {name}", (folder / name).read_text("utf-8").strip())
        assert "rate_limit" in unlimited
        accounts = {each["provider"]: each["account"] for each in sandbox.state()["accounts"]}
        cases = [(api, fault) for api, faults in listed.items() for fault in faults if fault not in ("hang", "slow:<seconds>")]

        def one_api(api):
            for number, (_, fault) in enumerate(case for case in cases if case[0] == api):
                sandbox.order(api, accounts[api], fault=fault)
                form = ("text", "json")[number % 2]
                status, text = bench.run("poll", accounts[api], "--trace", "--config.file", config, "--log.level", "trace", "--log.format", form, about=f"{api} {fault}")
                assert status in (0, 1), f"{api} {fault}: exit {status}\n{text}"

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one_api, listed))
    assert len(cases) > 200, len(cases)
    bench.counts["faults of the sandbox"] = len(cases)


def wrong_configurations(bench):
    """A secret stands where none belongs."""
    folder = bench.folder / "wrong"
    config = configure(folder, bench.known, bench.parrot.server_port, 1)
    good, inline, key = config.read_text("utf-8"), json.dumps(bench.known.inline), bench.known.payby_key
    block = "|\n" + "".join(f"        {line}\n" for line in key.splitlines())
    password, account = "    password: { file: bridge.password }\n", "      - { name: bridge-0,"
    wrong = [good.replace(password, f"    {line}\n") for line in (
        f"password: {inline}", f"password: {{ file: {inline} }}", f"password: {{ env: {inline} }}", f"password: {{ credential: {inline} }}",
        f"password: {{ vault: {inline} }}", f"password: {{ file: bridge.password, env: {inline} }}", f"password: [{inline}]", f"password: &a {inline}",
        f"passwrod: {inline}", f"{inline}: 1", f"? {inline}\n    : 1", f"password: !secret {inline}", f"password: '{inline}", f"password: \"{bench.known.inline}",
        f"password: {bench.known.env}", f"\tpassword: {bench.known.env}", f"password: {block}", f"password:\n      file: {block}", f"password: {{ file: bridge.password }}\n    password: {inline}",
        f"password: {{ env: {bench.known.env} }}", f"password: {{ file: {bench.known.env} }}", f"password: {{ credential: {bench.known.env} }}",
    )]
    wrong += [good.replace("    username: ", f"    proxy: http://user:{bench.known.env}@proxy.example:1/\n    username: ")]
    wrong += [good.replace("base_url: http://", f"base_url: http://{bench.known.env}@", 1), good.replace("base_url: http://", f"base_url: http://x/?{bench.known.env}=", 1)]
    wrong += [good.replace(account, f"{account} {line},") for line in (f"interval: {inline}", f"labels: {{ x: {inline}, reason: {inline} }}", f"labels: {{ {inline}: x }}", f"thresholds: {{ warning: {inline} }}", f"service: {inline}")]
    wrong += [good.replace("name: bridge-0", f"name: {inline}"), good + f"{inline}\n", good + f"? [{inline}\n", inline, f"- {inline}", "a: *b" + bench.known.env, f"{{{inline}: {{{inline}: {inline}}}}}"]
    wrong += [good.replace("private_key: { file: payby.key }", f"private_key: {form}") for form in (block, json.dumps(key), "{ file: dialog.secret }", "{ file: bridge.password }")]
    for number, text in enumerate(wrong):
        assert text != good, f"the wrong configuration {number} is not wrong"
        write(config, text)
        for arguments in (("check",), ("check", "--explain"), ("check", "--require-secrets"), ("run", "--web.listen-address", "127.0.0.1:0"), ("poll", "bridge-0", "--trace")):
            if arguments[0] == "run" and number % 3:
                continue
            status, said = bench.run(*arguments, "--config.file", config, "--log.level", "trace", about=f"wrong {number}")
            assert status in (1, 2) or arguments[0] != "run", f"{arguments} with the wrong configuration {number}: exit {status}\n{said}"
    write(config, good)
    web = folder / "web.yaml"
    for text in (f"basic_auth_users: {{ ali: {inline} }}", f"basic_auth_users: {{ {inline}: x }}", f"tls_server_config: {{ cert_file: {inline}, key_file: {inline} }}", f"tls_server_config:\n      cert: x\n      key: {block}", f"http_server_config: {{ headers: {{ {inline}: {inline} }} }}", f"rate_limit: {{ interval: {inline}, burst: 1 }}", f"basic_auth_users:\n  ali: {inline}\n  ali: {inline}"):
        write(web, text)
        for command in ("check", "run"):
            status, said = bench.run(command, "--config.file", config, "--web.config.file", web, about="wrong web")
            assert status == 2, f"{command} with {text!r}: exit {status}\n{said}"
    for file, text in (("payby.key", key[:700]), ("payby.key", bench.known.inline), ("bridge.password", bench.known.inline + "\n" + bench.known.env), ("smile.key", bench.known.merchant_secret), ("bridge.password", "\ufeff" + bench.known.inline), ("bridge.password", bench.known.inline + "\0")):
        before = (folder / file).read_text("utf-8")
        write(folder / file, text)
        bench.run("check", "--require-secrets", "--config.file", config, about=f"damaged {file}")
        # a password of two lines can be used, and then nobody but the parrot knows the right one that it repeats
        if (file, "\n" in text) != ("bridge.password", True):
            bench.run("poll", "bridge-0", "--trace", "--config.file", config, about=f"damaged {file}")
        write(folder / file, before)
    for more in ((), ("--explain",), ("--require-secrets",), ("--log.level", "trace", "--log.format", "json")):
        status, said = bench.run("check", *more, "--config.file", config)
        assert status == 0, said
    for arguments in (("schema",), ("reference",), ("--version",), ("--help",), ("run", "--no-such-flag", bench.known.inline.replace("\0", ""))):
        if arguments[0] != "run":
            bench.run(*arguments)
    bench.counts["wrong configurations"] = len(wrong) + 7 + 6


def file_modes(bench):
    """Whose a secret file is and who else may read it: by each owner and mode, for root and for somebody else."""
    folder, refused, taken = bench.folder / "modes", 0, 0
    config = configure(folder, bench.known, bench.parrot.server_port, 1, owner=NOBODY)
    folder.chmod(0o755)
    config.chmod(0o644)
    secret = folder / "bridge.password"
    owners, modes = {"nobody": NOBODY, "root": 0, "another": 12_345}, (0o400, 0o600, 0o640, 0o660, 0o604, 0o644, 0o666, 0o700)
    for who, runs_as in (("root", None), ("nobody", NOBODY)):
        for path in folder.iterdir():
            os.chown(path, runs_as or 0, runs_as or 0)
        for owner, uid in owners.items():
            for mode in modes:
                os.chown(secret, uid, NOBODY)
                secret.chmod(mode)
                sound = (owner == who and not mode & 0o077) or (owner == "root" and not mode & ~0o640)
                # its group is nobody's
                legible = who == "root" or owner == who or mode & 0o044
                status, said = bench.run("check", "--require-secrets", "--config.file", config, owner=runs_as, about=f"{who} {owner} {mode:o}")
                assert (status == 0) == bool(sound and legible), f"as {who}, {owner}'s file of mode {mode:o}: exit {status}\n{said}"
                refused, taken = refused + (status != 0), taken + (status == 0)
    secret.unlink()
    for make in (lambda: os.mkfifo(secret, 0o600), lambda: secret.mkdir(0o700), lambda: write(secret, ""), lambda: write(secret, "\n"), lambda: write(secret, "x" * (1 << 20)), lambda: secret.symlink_to("/dev/zero")):
        make()
        status, said = bench.run("check", "--require-secrets", "--config.file", config, about="odd file")
        assert status == 2, said
        secret.rmdir() if secret.is_dir() else secret.unlink()
    assert refused > 30 and taken > 5, (refused, taken)
    bench.counts["owners and modes"] = refused + taken


def closed_process(bench):
    """As nobody: the process is root's to look at, and its own figures are there all the same."""
    folder = bench.folder / "closed"
    config = configure(folder, bench.known, bench.parrot.server_port, 2, owner=NOBODY)
    with Exporter(bench, "closed", config, owner=NOBODY) as exporter:
        exporter.wait_polled()
        pid = exporter.process.pid
        assert f"Uid:\t{NOBODY}\t{NOBODY}" in Path(f"/proc/{pid}/status").read_text("ascii")
        # the kernel gives the files of a process that cannot be dumped to root
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0, "the process can be dumped"
        for name in ("environ", "mem", "maps"):
            look = subprocess.run(["head", "-c", "1", f"/proc/{pid}/{name}"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False)
            assert look.returncode != 0 and b"ermission denied" in look.stderr, f"its own user can read {name}"
        control = subprocess.Popen(["sleep", "60"], user=NOBODY, group=NOBODY, extra_groups=[])
        try:
            look = subprocess.run(["head", "-c", "1", f"/proc/{control.pid}/environ"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False)
            assert look.returncode == 0, "this machine lets nobody look at any process, so the test shows nothing"
        finally:
            control.kill()
            control.wait()
        text = bench.ask(f"{exporter.url}/metrics").text
        shown = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line.startswith("process_")}
        for name in ("open_fds", "max_fds", "resident_memory_bytes", "virtual_memory_bytes", "start_time_seconds", "threads"):
            assert shown.get(f"process_{name}", 0) > 0, f"process_{name} is not told: {shown}"
        assert "process_cpu_seconds_total" in shown and abs(shown["process_start_time_seconds"] - time.time()) < 60
        exporter.look_at_process()


def no_core(bench):
    """Every signal that ends it; where a core is written for others, none is for this one."""
    scratch = bench.folder / "scratch"
    scratch.mkdir(mode=0o777)
    config = configure(bench.folder / "core", bench.known, bench.parrot.server_port, 1)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text("utf-8").strip()

    def cores():
        return [path for path in scratch.iterdir()]

    def unlimited():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    sleeper = subprocess.Popen(["sleep", "60"], cwd=scratch, preexec_fn=unlimited)
    time.sleep(0.1)
    sleeper.send_signal(signal.SIGQUIT)
    sleeper.wait()
    told = "of another program a core is left" if cores() else f"CORES ARE NOT LEFT HERE FOR ANY PROGRAM (core_pattern {pattern!r}), so only the limits are tested"
    for path in cores():
        path.unlink()
    for number in CORE_SIGNALS + OTHER_SIGNALS:
        with Exporter(bench, f"dies of {number.name}", config, scratch=scratch) as exporter:
            limits = Path(f"/proc/{exporter.process.pid}/limits").read_text("ascii")
            assert any(line.split()[4:6] == ["0", "0"] for line in limits.splitlines() if line.startswith("Max core file size")), limits
            exporter.signal(number)
            if number in (signal.SIGSEGV, signal.SIGBUS):
                # the first one removes what looks for an overflow of the stack, and would come again if it were one
                try:
                    exporter.process.wait(0.2)
                except subprocess.TimeoutExpired:
                    exporter.signal(number)
            status = exporter.process.wait(20)
            assert status == -number, f"{number.name} ends it with {status}"
        assert not cores(), f"{number.name} leaves {cores()}"
    bench.counts["signals"] = f"{len(CORE_SIGNALS + OTHER_SIGNALS)}; {told}"


def nothing_is_found(bench):
    began = time.monotonic()
    # the texts that we chose for what a provider is not told as a secret
    found = bench.known.traces.found_in(bench.shown)
    for place, names in sorted(found.items()):
        print(f"LEAK in {place}: {sorted(names)}", file=sys.stderr)
    assert not found, f"{len(found)} of {len(bench.shown)} texts show a secret"
    size = sum(map(len, bench.shown.values())) / 2**20
    bench.counts["searched"] = f"{len(bench.shown)} texts, {size:.1f} MiB, for {len(bench.known.traces.pieces)} pieces, in {time.monotonic() - began:.1f} s"
    if keep := os.environ.get("CANARIES_KEEP"):
        for number, (place, raw) in enumerate(bench.shown.items()):
            Path(keep, f"{number}.txt").write_bytes(place.encode() + b"\n" + raw)


STEPS = [echoes_in_traces, echoes_to_the_daemon, sandbox_faults, wrong_configurations, file_modes, closed_process, no_core, nothing_is_found]


def main(binary):
    print(f"      the same again with CANARIES_SEED={SEED}", flush=True)
    forms = traces.check_itself(new)
    print(f"  ok  the search finds {forms} forms of a password and a key")
    if os.geteuid() != 0:
        print("NOT ROOT: whose a file is cannot be changed, so this cannot be tested here", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="balance-exporter-canaries-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        # where nobody may reach it, too
        shutil.copy(binary, folder / "balance-exporter")
        (folder / "balance-exporter").chmod(0o755)
        bench = Bench(folder / "balance-exporter", folder)
        for step in STEPS:
            began = time.monotonic()
            step(bench)
            print(f"  ok  {step.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)
        for what, value in bench.counts.items():
            print(f"      {what}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
