"""Logins with asyncssh, and what its cases share."""

import asyncio
import os

import asyncssh

PATIENCE = 50


def play(function, scene):
    async def played():
        async with Login(scene) as connection:
            await function(scene, connection)

    asyncio.run(asyncio.wait_for(played(), PATIENCE))


class Login:
    """A login, through the jump host where there is one; the options are asyncssh's, for the inner connection."""

    def __init__(self, scene, **options):
        server = scene.server
        self.server, self.open = server, []
        self.common = dict(
            username=server["user"], client_keys=[server["key"]], known_hosts=server["knownHosts"], config=None, agent_path=None
        )
        self.options = options

    async def __aenter__(self):
        server, tunnel = self.server, ()
        if server["jumpPort"]:
            tunnel = await asyncssh.connect("127.0.0.1", server["jumpPort"], **self.common)
            self.open.append(tunnel)
        connection = await asyncssh.connect(server["host"], server["port"], tunnel=tunnel, **self.common, **self.options)
        self.open.append(connection)
        return connection

    async def __aexit__(self, *_):
        for connection in reversed(self.open):
            connection.close()
            await connection.wait_closed()


def ending(process):
    """Exit status, or name, core flag, message and language of the signal."""
    return [process.exit_status, process.exit_signal]


async def ended(process):
    """What a signalled program prints to its end; sshd signals no program of root's, which then is left alone."""
    try:
        return (await asyncio.wait_for(process.wait(), 4)).stdout
    except asyncio.TimeoutError:
        process.close()
        return "nothing happened"


def attributes(found):
    """What of a file's attributes two servers must agree on."""
    return [found.type, found.size, oct(found.permissions or 0), found.uid, found.gid, found.mtime]


async def answer(scene, name, call):
    """Notes what a call gives, or the status and words of its refusal."""
    try:
        scene.note(name, await call)
    except asyncssh.SFTPError as refused:
        scene.note(name, [type(refused).__name__, refused.code, refused.reason])
    except (asyncssh.Error, OSError) as fault:
        scene.note(name, [type(fault).__name__, str(fault)])


def make(scene, name, data=b"", mtime=1_000_000_000, mode=0o644):
    """A file in the case's folder."""
    path = scene.path(name)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    os.utime(path, (mtime, mtime))
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()
