"""Those who would keep a scraper out, in a process of their own: `attackers.py PORT SECONDS TLS ACCOUNTS`.

All of them at once, each kind a bounded number of clients that begin again as soon as they are cut off. At the end it
prints how often each kind has struck, and how often it was turned away. The process gives way to others: what is
measured is the exporter and not how many processors there are.
"""

import asyncio
import base64
import collections
import json
import logging
import os
import resource
import socket
import ssl
import sys
import time

HOST = "127.0.0.1"
# so many of each kind
SLOWLORIS, STALLED, HUGE, FLOOD, PIPELINED, GUESSING, GARBAGE = 1_000, 150, 4, 8, 4, 24, 4
# and so often each has to strike, or it would be no attack
# over TLS a reader that stalls has to shake hands and to show a password first
LEAST = {"slowloris": 1_500, "stalled": 100, "huge": 5, "flood": 40, "pipelined": 5, "garbage": 5, "guessing": 30}

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
GARBAGES = [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"hello\r\n\r\n", b"\0" * 500, b"GET " + b"/" * 70_000]


class Attack:
    def __init__(self, port, tls, has_users):
        self.port, self.has_users = port, has_users
        self.struck, self.ended = collections.Counter(), collections.Counter()
        self.context = None
        if tls:
            self.context = ssl.create_default_context()
            self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    async def connect(self, tls=True, window=None):
        link = socket.socket()
        link.setblocking(False)
        try:
            if window:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            await asyncio.get_running_loop().sock_connect(link, (HOST, self.port))
            context = self.context if tls else None
            return await asyncio.open_connection(sock=link, ssl=context, server_hostname="localhost" if context else None, limit=1 << 16)
        except BaseException:
            link.close()
            raise

    async def again_and_again(self, what, pause):
        """Strikes, and begins anew when it is over."""
        while True:
            writer = None
            try:
                self.struck[what.__name__] += 1
                writer = await what()
            except (OSError, ssl.SSLError, asyncio.IncompleteReadError, EOFError):
                pass
            finally:
                self.ended[what.__name__] += 1
                if writer:
                    writer.transport.abort()
            await asyncio.sleep(pause)

    async def slowloris(self):
        reader, writer = await self.connect()
        writer.write(GET + b"X-a: ")
        while not reader.at_eof():
            writer.write(b"a")
            await writer.drain()
            try:
                await asyncio.wait_for(reader.read(1 << 16), 1)
            except TimeoutError:
                pass
        return writer

    async def stalled(self):
        """Asks, and takes nothing of the answer."""
        _, writer = await self.connect(window=4_096)
        writer.transport.pause_reading()
        writer.write(GET + b"\r\n")
        # the end of the connection shows when one writes
        for _ in range(300):
            await asyncio.sleep(0.1)
            writer.write(b"\r\n")
            await writer.drain()
        return writer

    async def huge(self):
        reader, writer = await self.connect()
        writer.write(GET)
        for number in range(1_024):
            writer.write(b"X-%d: %s\r\n" % (number, b"a" * 1_000))
            await writer.drain()
        await reader.read()
        return writer

    async def flood(self):
        """Comes, and goes or stays without a word."""
        _, writer = await self.connect(tls=False)
        if self.struck["flood"] % 2:
            writer.transport.abort()
        return writer

    async def pipelined(self):
        reader, writer = await self.connect()
        writer.write((b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" * 9 + GET + b"Accept-Encoding: gzip\r\n\r\n") * 100)
        while await reader.read(1 << 16):
            pass
        return writer

    async def guessing(self):
        reader, writer = await self.connect()
        for number in range(1_000):
            name = b"ali" if number % 2 else b"nobody%d" % number
            guess = base64.b64encode(b"%s:%d-%d" % (name, id(writer), number))
            writer.write(GET + b"Authorization: Basic %s\r\n\r\n" % guess)
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            assert status in ((401, 429) if self.has_users else (200,)), f"a guess was answered {status}"
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            self.struck["guess"] += 1
        return writer

    async def garbage(self):
        reader, writer = await self.connect(tls=False)
        writer.write(GARBAGES[self.struck["garbage"] % len(GARBAGES)])
        await reader.read()
        return writer

    def is_weak(self):
        """Whether some kind has hardly struck yet, as on a machine that has other things to do."""
        return any(self.struck[kind] < least for kind, least in LEAST.items() if kind != "guessing" or self.has_users)

    async def all(self, seconds):
        kinds = [(self.slowloris, SLOWLORIS, 0.5), (self.stalled, STALLED, 0.2), (self.huge, HUGE, 0.05), (self.flood, FLOOD, 0.005)]
        kinds += [(self.pipelined, PIPELINED, 0.05), (self.garbage, GARBAGE, 0.05)]
        if self.has_users:
            kinds.append((self.guessing, GUESSING, 0.05))
        tasks = [asyncio.create_task(self.again_and_again(what, pause)) for what, count, pause in kinds for _ in range(count)]
        ends, latest = time.monotonic() + seconds, time.monotonic() + 3 * seconds
        while time.monotonic() < (latest if self.is_weak() else ends):
            done, _ = await asyncio.wait(tasks, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        while tasks := [task for task in tasks if not task.done()]:
            # a wait that ends at this very moment forgets that it was cancelled
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.2)
        return {"struck": self.struck, "ended": self.ended}


def main(port, seconds, tls, has_users):
    os.nice(10)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    loop = asyncio.new_event_loop()
    # connections that are cut off in the middle of something are what this is about
    logging.disable()
    loop.set_exception_handler(lambda *_: None)
    print(json.dumps(loop.run_until_complete(Attack(port, tls, has_users).all(seconds))))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "tls", sys.argv[4] == "users")
