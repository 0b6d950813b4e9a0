"""What an editor shows of a configuration: the schema in yaml-language-server, spoken to as an editor speaks to it.

Usage: run.py YAML_LANGUAGE_SERVER (the program). Reads exporter.yaml and exporter.schema.json, and writes nothing.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "exporter.yaml").read_text("utf-8")
PATIENCE = 60


class Editor:
    """One language server, and the documents that are open in it."""

    def __init__(self, program):
        self.server = subprocess.Popen([program, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answers, self.found, self.number = Queue(), Queue(), 0
        threading.Thread(target=self._listen, daemon=True).start()
        root = ROOT.as_uri()
        self.ask("initialize", processId=None, rootUri=root, capabilities={"textDocument": {"hover": {"contentFormat": ["markdown"]}, "completion": {"completionItem": {"snippetSupport": False}}}}, workspaceFolders=[{"uri": root, "name": "root"}])
        self.tell("initialized")
        # what the schema says is all there is: no store of schemas is asked
        self.tell("workspace/didChangeConfiguration", settings={"yaml": {"schemaStore": {"enable": False}, "validate": True, "hover": True, "completion": True}})

    def _send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.server.stdin.flush()

    def _listen(self):
        while header := self.server.stdout.readline():
            length = 0
            while header.strip():
                name, _, value = header.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
                header = self.server.stdout.readline()
            message = json.loads(self.server.stdout.read(length))
            if message.get("method") == "textDocument/publishDiagnostics":
                self.found.put(message["params"])
            elif "method" in message and "id" in message:
                # it asks for settings, which it has been told, and for permissions, which cost nothing
                items = message["params"].get("items", []) if isinstance(message.get("params"), dict) else []
                self._send({"id": message["id"], "result": [None] * len(items) or None})
            elif "id" in message:
                self.answers.put(message)

    def tell(self, method, **params):
        self._send({"method": method, "params": params})

    def ask(self, method, **params):
        self.number += 1
        self._send({"id": self.number, "method": method, "params": params})
        answer = self.answers.get(timeout=PATIENCE)
        assert answer["id"] == self.number and "error" not in answer, answer
        return answer["result"]

    def open(self, text):
        """A document beside the schema, as it would be saved there: its address and what is wrong with it."""
        self.number += 1
        uri = (ROOT / f"editor-{self.number}.yaml").as_uri()
        self.tell("textDocument/didOpen", textDocument={"uri": uri, "languageId": "yaml", "version": 1, "text": text})
        while (found := self.found.get(timeout=PATIENCE))["uri"] != uri:
            pass
        return uri, [(problem["range"]["start"]["line"], problem["message"]) for problem in found["diagnostics"]]


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines()) if part in line)


def diagnostics(editor):
    _, found = editor.open(EXAMPLE)
    assert not found, f"the example: {found}"
    for before, after, told in (
        ("  interval: 1m", "  intervall: 1m", "intervall"),
        ("api: bridge", "api: bridges", "bridge"),
        ("environment: sandbox", "environment: staging", "production"),
        ("requests: 30", "requests: many", "integer"),
    ):
        assert before in EXAMPLE, before
        text = EXAMPLE.replace(before, after, 1)
        _, found = editor.open(text)
        line = line_of(text, after)
        assert any(at == line and told in message for at, message in found), f"{after} in line {line}: {found}"
    print("- what is wrong is underlined: 4 mistakes, and none in the example")


def completion(editor):
    head, _, _ = EXAMPLE.partition("providers:")
    account = "providers:\n  - name: p\n    api: bridge\n    username: u\n    password: { file: p }\n    accounts:\n      - name: a\n        "
    for text, expected in (
        (head + "providers:\n  - name: p\n    api: ", {"payby", "dialog", "bridge", "smilepayz"}),
        (head + account, {"interval", "stale_after", "thresholds", "labels"}),
        (head + "providers:\n  - name: p\n    ", {"api", "rate_limit", "environment"}),
    ):
        uri, _ = editor.open(text)
        lines = text.split("\n")
        offered = editor.ask("textDocument/completion", textDocument={"uri": uri}, position={"line": len(lines) - 1, "character": len(lines[-1])})
        labels = {item["label"].strip('"') for item in offered["items"]}
        assert expected <= labels, f"{expected - labels} is not offered, but {labels}"
    print("- keys and values are offered: 3 places")


def hover(editor):
    uri, _ = editor.open(EXAMPLE)
    for key, told in (("stale_after:", "withdrawn"), ("rate_limit:", "requests"), ("hold_jump_over:", "confirms")):
        line = line_of(EXAMPLE, f" {key}")
        at = EXAMPLE.splitlines()[line].index(key) + 1
        shown = editor.ask("textDocument/hover", textDocument={"uri": uri}, position={"line": line, "character": at})
        assert shown and told in json.dumps(shown["contents"]), f"{key} {shown}"
    print("- keys are explained: 3 of them")


def main(program):
    editor = Editor(program)
    try:
        for step in (diagnostics, completion, hover):
            step(editor)
    finally:
        editor.server.kill()
        editor.server.wait()


if __name__ == "__main__":
    main(sys.argv[1])
