"""A provider that answers at once, in Bridge's words: each account as its service id says. And a page of somebody else."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# what becomes of a request, by the last digit of the service id
WELL, LOW, CRITICAL, REFUSED, BROKEN, THROTTLED, LOST = range(7)


class Provider:
    """Use it as a context."""

    def __enter__(self):
        self.balances = {}
        self.asked = 0
        self.lost = threading.Event()
        provider = self

        class Desk(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                """A page of another site that wants something of the exporter."""
                target = self.path.partition("?")[2]
                self.answer(200, f'<!doctype html><title>other</title><form method="post" action="{target}"><button>'.encode(), "text/html")

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(*provider.answer_to(request["service_id"]), "application/json")

            def answer(self, status, body, kind):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Desk)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer_to(self, service):
        self.asked += 1
        fate = service % 10
        if fate == REFUSED or (fate == LOST and self.lost.is_set()):
            said = {"response_code": "401" if fate == REFUSED else "500", "response_message": "no"}
            return 200, json.dumps(said).encode()
        if fate == BROKEN:
            return 503, b"{}"
        if fate == THROTTLED:
            return 429, b"{}"
        spendable = self.balances.get(service, {LOW: 2_750.5, CRITICAL: 310.25}.get(fate, 48_210.77 + service))
        figures = {"payout_balance": spendable, "collection_balance": 1_204.4, "sms_balance": 731.0}
        return 200, json.dumps({"response_data": figures, "response_message": "Success", "response_code": "000"}).encode()
