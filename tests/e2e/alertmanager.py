"""A real Alertmanager with the shipped routes, and the receivers that it sends to."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from program import Program, free_port


class Receivers:
    """Takes whatever is sent to `/chat`, `/treasury` and `/pager`, and keeps it in order."""

    def __init__(self):
        self.messages = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                messages.append((time.time(), self.path.strip("/"), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def alerts(self, receiver, status, **labels):
        """Alerts that a receiver was told of, as they were told; each message holds one account's."""
        return [
            alert
            for _, path, message in list(self.messages)
            for alert in message["alerts"]
            if path == receiver and alert["status"] == status and labels.items() <= alert["labels"].items()
        ]

    def about_accounts(self):
        return [message for _, _, message in list(self.messages) if "account" in message["groupLabels"]]


class Alertmanager(Program):
    def __init__(self, folder, config, directory):
        self.address_told = f"127.0.0.1:{free_port()}"
        arguments = [Path(folder, "prometheus-alertmanager"), f"--config.file={config}", "--cluster.listen-address="]
        arguments += [f"--storage.path={directory / 'alertmanager'}", f"--web.listen-address={self.address_told}"]
        super().__init__("alertmanager", arguments, directory)
