"""A provider of all four APIs that repeats whatever it is told, and more: in every place of an answer that has room."""

import http.server
import json
import threading
from urllib.parse import quote, quote_plus

SHAPES = [
    "message", "code", "fault", "fault-xml", "request-error", "page", "location", "retry-after", "headers", "currency",
    "identity", "not-json", "status-line", "header-line", "in-number", "as-key", "as-key-twice", "status-401", "status-403",
]
CONTENTS = ["request", "credentials", "secret", "quoted"]
MODES = [(shape, content) for shape in SHAPES for content in CONTENTS]


class Parrot(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 1_024

    def __init__(self, secrets, token, refresh):
        """`secrets` of each API, which a provider knows anyway; the tokens that a login brings."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.secrets, self.token, self.refresh = secrets, token, refresh
        # what to do; by turns, unless one thing is ordered
        self.ordered, self.login_ordered, self.turns, self.asked = {}, None, dict.fromkeys(secrets, 0), 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def mode(self, api, is_login):
        with self.lock:
            self.asked += 1
            if is_login:
                return self.login_ordered
            if api in self.ordered:
                return self.ordered[api]
            self.turns[api] += 1
            return MODES[self.turns[api] % len(MODES)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        is_login = self.path.endswith("/token")
        api = next(name for sign, name in PATHS if sign in self.path)
        mode = self.server.mode(api, is_login)
        if mode is None:
            return self.tell(200, {"scope": "x", "token_type": "bearer", "expires_in": 3600, "access_token": self.server.token, "refresh_token": self.server.refresh})
        shape, content = mode
        return self.repeat(api, shape, self.text(api, content, body))

    do_GET = do_POST

    def text(self, api, content, body):
        authorization = self.headers["authorization"] or self.headers["sign"] or self.headers["x-signature"] or "none"
        known = [*self.server.secrets[api], *([self.server.token, self.server.refresh] if api == "dialog" and "/token" not in self.path else [])]
        secret = " ".join(known)
        return {
            "request": f"{self.path} {body} {self.headers}",
            "credentials": authorization.split(" ")[-1],
            "secret": secret,
            "quoted": " ".join(f(each) for each in known for f in (quote_plus, quote, json.dumps)),
        }[content]

    def repeat(self, api, shape, text):
        line = text.replace("\n", " ").replace("\r", " ")
        fault = {"fault": {"code": 900901, "message": text, "description": text}, "error": "invalid_grant", "error_description": text}
        if shape == "message":
            return self.tell(200, self.shaped(api, "4003", text))
        if shape == "code":
            return self.tell(200, self.shaped(api, text, text))
        if shape in ("fault", "status-401", "status-403"):
            return self.tell({"fault": 400, "status-401": 401, "status-403": 403}[shape], fault)
        if shape == "fault-xml":
            return self.tell(401, f"<ams:fault><ams:code>900901</ams:code><ams:message>{text}</ams:message></ams:fault>", "application/xml")
        if shape == "request-error":
            return self.tell(200, {"requestError": {"serviceException": {"messageId": text, "text": text, "variables": [text]}}})
        if shape == "page":
            return self.tell(500, f"<html><title>{text}</title>{text}</html>", "text/html")
        if shape == "location":
            return self.tell(302, {}, more={"Location": f"https://{line}/{line}?{line}"})
        if shape == "retry-after":
            return self.tell(429, {}, more={"Retry-After": line, "Date": line})
        if shape == "headers":
            named = ["Content-Type", "WWW-Authenticate", "Server", "Set-Cookie", "X-TIMESTAMP", "sign", "Content-Language"]
            return self.tell(503, {}, more=dict.fromkeys(named, line))
        if shape in ("currency", "identity", "in-number"):
            return self.tell(200, self.good(api, **{shape.replace("in-", ""): text}))
        if shape == "not-json":
            return self.tell(200, '{"a": ' + text)
        if shape == "status-line":
            return self.wfile.write(f"HTTP/1.1 200 {line}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        if shape == "header-line":
            return self.wfile.write(f"HTTP/1.1 200 OK\r\n{line}\r\n{line}: {line}\r\n\r\n".encode())
        key = json.dumps(text)
        return self.tell(200, f"{{{key}: 1}}" if shape == "as-key" else f"{{{key}: 1, {key}: 2}}")

    def shaped(self, api, code, text):
        return {
            "bridge": {"response_code": code, "response_message": text},
            "payby": {"head": {"applyStatus": "FAIL", "code": code, "msg": text, "success": False, "traceCode": text}},
            "smilepayz": {"code": code, "message": text},
            "dialog": {"fault": {"code": code, "message": text, "description": text}},
        }[api]

    def good(self, api, currency=None, identity=None, number=None):
        text = currency or identity or number
        amount = number or "12.5"
        return {
            "bridge": {"response_code": "000", "response_message": text, "response_data": {"payout_balance": number or 1.5, "collection_balance": number or 2, "sms_balance": 3, "currency": text}},
            "payby": {"head": {"applyStatus": "SUCCESS", "code": "0", "msg": text, "success": True, "traceCode": text}, "body": {"memberId": identity or "1", "balanceList": [{"availableBalance": {"amount": number or 1.5, "currency": currency or "AED"}}]}},
            "smilepayz": {"code": "00", "message": text, "accountNo": identity or None, "accountInfos": {"balanceType": "BALANCE", "amount": {"currency": currency or "PEN", "value": amount}, "availableBalance": {"currency": currency or "PEN", "value": amount}}},
            "dialog": {"endUserId": identity, "referenceCode": text, "accountInfo": {"accountType": currency or "PREPAID", "accountStatus": "Active", "creditLimit": 1.5, "balance": number or 2.5}},
        }[api]

    def tell(self, status, body, kind="application/json", more=None):
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        head = {"Content-Type": kind, "Content-Length": str(len(raw))} | (more or {})
        lines = [f"HTTP/1.0 {status} X", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        self.wfile.write("\r\n".join(lines).encode() + raw)

    def log_message(self, *_):
        pass


PATHS = [
    ("/get_account_balance", "bridge"),
    ("/getBalance", "payby"),
    ("/inquiry-balance", "smilepayz"),
    ("/apicall", "dialog"),
]
