"""Forwards with asyncssh."""

import asyncio
import contextlib
import os

import asyncssh

from asyncssh_logins import make, play
from suite import case, main

# A port that is free in IPv6 may be somebody else's in IPv4, or one that nobody serves, where a server then goes without, as sshd does:
# another is asked for.
PORTS = 3


@case
async def forward__local_connections(scene, connection):
    async with shouter() as port:
        async def one(n):
            reader, writer = await connection.open_connection("127.0.0.1", port)
            writer.write(b"x" * n * 1000)
            writer.write_eof()
            return len(await reader.read())

        scene.note("heard", await asyncio.gather(*(one(n) for n in range(30))))
    for name, host, number in [
        ("nobody listens", "127.0.0.1", 1), ("no such name", "no-such-host.invalid", 80), ("no port", "127.0.0.1", 0),
        ("an empty name", "", 80), ("a port too high", "127.0.0.1", 70000),
    ]:
        try:
            await connection.open_connection(host, number)
            scene.note(name, "connected")
        except asyncssh.ChannelOpenError as refused:
            scene.note(name, [refused.code, refused.reason])


@case
async def forward__local_sockets(scene, connection):
    path = scene.path("socket")

    async def greet(reader, writer):
        writer.write(b"hello " + (await reader.read()).upper())
        writer.close()

    async with await asyncio.start_unix_server(greet, path):
        reader, writer = await connection.open_unix_connection(path)
        writer.write(b"said")
        writer.write_eof()
        scene.note("heard", await reader.read())
    make(scene, "file")
    for name in ("missing", "file", "x" * 200):
        try:
            await connection.open_unix_connection(scene.path(name))
            scene.note(name[:20], "connected")
        except asyncssh.ChannelOpenError as refused:
            scene.note(name[:20], [refused.code, refused.reason])


@case
async def forward__remote_ports(scene, connection):
    async def greet(reader, writer):
        writer.write(b"hello " + (await reader.read()).upper())
        writer.write_eof()
        writer.close()

    seen = []

    def accept(host, port):
        seen.append(host)
        return greet

    async def ask(bind):
        listener = await connection.start_server(accept, bind, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.get_port())
        writer.write(b"said")
        writer.write_eof()
        heard = await reader.read()
        writer.close()
        listener.close()
        await listener.wait_closed()
        return [heard, seen.pop() if seen else None]

    for bind in ("127.0.0.1", "localhost", "", "0.0.0.0"):
        answer = None
        for _ in range(PORTS):
            with contextlib.suppress(ConnectionRefusedError):
                answer = await ask(bind)
                if answer[1] is not None:
                    break
        scene.note(f"bound to '{bind}'", answer)
    for name, bind, number in [("a privileged port", "127.0.0.1", 1)] if os.geteuid() else []:
        try:
            await connection.start_server(accept, bind, number)
            scene.note(name, "listens")
        except asyncssh.ChannelListenError as refused:
            scene.note(name, str(refused))


@case
async def forward__remote_sockets(scene, connection):
    async def greet(reader, writer):
        writer.write(b"hello " + (await reader.read()).upper())
        writer.write_eof()
        writer.close()

    listener = await connection.start_unix_server(lambda: greet, scene.path("far"))
    reader, writer = await asyncio.open_unix_connection(scene.path("far"))
    writer.write(b"said")
    writer.write_eof()
    scene.note("heard", await reader.read())
    try:
        await connection.start_unix_server(lambda: greet, scene.path("far"))
        scene.note("twice", "listens")
    except asyncssh.ChannelListenError as refused:
        scene.note("twice", str(refused))
    listener.close()
    await listener.wait_closed()
    scene.note("left", sorted(os.listdir(scene.dir)))


class shouter:
    """A server that greets and answers in capitals."""

    async def __aenter__(self):
        async def greet(reader, writer):
            writer.write(b"hello ")
            writer.write((await reader.read()).upper())
            writer.close()

        self.server = await asyncio.start_server(greet, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.server.close()


if __name__ == "__main__":
    main(play)
