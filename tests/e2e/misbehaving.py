"""Providers as bad as they come, each on a port of its own, and a good one: `misbehaving.py LOG`.

Run as a program, so that what they do takes no time of whoever measures. The first line tells the ports as JSON; the
good one writes to LOG when it was asked, and by which account.
"""

import asyncio
import json
import re
import socket
import struct
import sys
import time

GOOD = b'{"response_data":{"payout_balance":19.1,"collection_balance":0.37,"sms_balance":0.0},"response_message":"Success","response_code":"000"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# nobody is asked for longer
PATIENCE = 30


async def hang(reader, writer):
    await asyncio.sleep(PATIENCE)


async def drip_head(reader, writer):
    for byte in (HEAD * 9)[:PATIENCE]:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def drip_body(reader, writer):
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n{")
    for _ in range(PATIENCE):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(1)


async def flood(reader, writer):
    writer.write(HEAD + b"Content-Length: 100000000\r\n\r\n")
    for _ in range(100):
        writer.write(b" " * 1_000_000)
        await writer.drain()


async def go_on(reader, writer):
    for _ in range(PATIENCE * 10):
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 10)
        await writer.drain()
        await asyncio.sleep(0.1)


async def long_head(reader, writer):
    writer.write(HEAD + b"".join(b"X-%d: y\r\n" % nth for nth in range(5_000)) + b"\r\n")
    await writer.drain()


async def garbage(reader, writer):
    writer.write(bytes(range(256)) * 100)
    await writer.drain()


async def cut(reader, writer):
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n{")
    await writer.drain()


async def reset(reader, writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def redirect(reader, writer):
    writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


BAD = [hang, drip_head, drip_body, flood, go_on, long_head, garbage, cut, reset, redirect]
# nothing is read, so that a handshake of TLS never ends
DEAF = hang


def good(log):
    async def answer(reader, writer):
        # a request is complete when its body is: until then the account is not known
        head = await reader.readuntil(b"\r\n\r\n")
        at = time.time()
        length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
        body = json.loads(await reader.readexactly(length))
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
        await writer.drain()
        print(body["service_id"], f"{at:.6f}", file=log, flush=True)

    return answer


def polite(behave):
    """Whoever leaves early is expected to."""

    async def serve(reader, writer):
        try:
            if behave is not DEAF and behave in BAD:
                await reader.read(4096)
            await asyncio.wait_for(behave(reader, writer), PATIENCE + 5)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return serve


async def main(log):
    ports = {}
    servers = [(behave.__name__, behave) for behave in BAD] + [("good", good(log))]
    running = []
    for name, behave in servers:
        server = await asyncio.start_server(polite(behave), "127.0.0.1", 0, backlog=1024)
        ports[name] = server.sockets[0].getsockname()[1]
        running.append(server)
    print(json.dumps(ports), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in running))


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="ascii") as log:
        asyncio.run(main(log))
