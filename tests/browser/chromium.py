"""A headless Chromium, spoken to over a pipe: no driver, no port, nothing left behind."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

FLAGS = """--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update
    --disable-sync --disable-quic --disable-extensions --disable-default-apps --hide-scrollbars --mute-audio
    --force-color-profile=srgb --remote-debugging-pipe""".split()
# after this long something has gone wrong; nothing waits for it otherwise
PATIENCE_SECONDS = 30


class Chromium:
    """Use it as a context: whatever happens inside, it is gone afterwards."""

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="balance-exporter-browser-")
        theirs_to_read, self.writer = os.pipe()
        self.reader, theirs_to_write = os.pipe()
        program = shutil.which("chromium") or "chromium"
        flags = " ".join([*FLAGS, f"--user-data-dir={self.profile}"])
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {program} {flags} about:blank 3<&{theirs_to_read} 4>&{theirs_to_write}"],
            pass_fds=(theirs_to_read, theirs_to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_to_read)
        os.close(theirs_to_write)
        self.numbers = itertools.count(1)
        self.unread = b""
        self.tabs = {}
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.writer)
        os.close(self.reader)
        shutil.rmtree(self.profile, ignore_errors=True)

    def send(self, method, session=None, **parameters):
        """Asks for something and returns the answer; what happens meanwhile goes to its tab."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.writer, data) :]
        while True:
            answer = self.hear()
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def hear(self):
        """The next message, which is handed to its tab if it is an event."""
        end = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.reader], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"Chromium has said nothing for {PATIENCE_SECONDS} s")
            data = os.read(self.reader, 1 << 20)
            if not data:
                raise AssertionError("Chromium has ended")
            self.unread += data
        message, _, self.unread = self.unread.partition(b"\0")
        message = json.loads(message)
        tab = self.tabs.get(message.get("sessionId"))
        if "method" in message and tab:
            tab.heard(message["method"], message["params"])
        return message

    def tab(self, **look):
        """A new tab with a profile of its own."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, session, context, **look)


class Tab:
    """One page as somebody looks at it: how wide, in which colours, with a script or without."""

    def __init__(self, browser, session, context, width=1440, height=900, dark=False, script=True, zoom=1):
        self.browser, self.session, self.context = browser, session, context
        browser.tabs[session] = self
        self.complaints, self.requests, self.events = [], [], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.shape(width, height, dark, zoom)
        self.let_scripts_run(script)

    def shape(self, width=1440, height=900, dark=False, zoom=1):
        """How large the screen is, and in which colours. Twice the size is half the room, as when somebody zooms."""
        room = {"width": width // zoom, "height": height // zoom, "deviceScaleFactor": zoom}
        self.send("Emulation.setDeviceMetricsOverride", mobile=width < 500, **room)
        scheme = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def let_scripts_run(self, may):
        self.send("Emulation.setScriptExecutionDisabled", value=not may)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        del self.browser.tabs[self.session]
        self.browser.send("Target.disposeBrowserContext", browserContextId=self.context)

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def heard(self, method, event):
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(event["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(part.get("value")) for part in event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.complaints.append(event["entry"]["text"])

    def wait_for(self, event):
        while event not in self.events:
            self.browser.hear()

    def open(self, url):
        self.events.clear()
        problem = self.send("Page.navigate", url=url).get("errorText")
        assert not problem, f"{url}: {problem}"
        self.wait_for("Page.loadEventFired")

    def follow(self, script):
        """Does what leads to another page, and waits for it."""
        self.events.clear()
        self.run(script)
        self.wait_for("Page.loadEventFired")

    def run(self, script):
        """The value of an expression, which may be a promise."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", {}).get("description", script))
        return answer["result"].get("value")

    def until(self, script, what):
        """The first true value of an expression."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            value = self.run(script)
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}")
            time.sleep(0.05)

    def press(self, key, text=None, shift=False):
        codes = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}
        key_event = {"key": key, "modifiers": 8 if shift else 0, "windowsVirtualKeyCode": codes.get(key, ord(key[0]))}
        if text is None and key in ("Enter", " "):
            text = "\r" if key == "Enter" else " "
        self.send("Input.dispatchKeyEvent", type="keyDown", **key_event, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **key_event)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def picture(self, path, whole=False):
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
