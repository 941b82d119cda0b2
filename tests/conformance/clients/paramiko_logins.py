"""Logins with paramiko."""

import contextlib
import itertools
import socket

import paramiko

PATIENCE = 40


def play(function, scene):
    transports = []
    try:
        function(scene, login(scene, transports))
    finally:
        for transport in reversed(transports):
            transport.close()


class OneCipherEachWay(paramiko.Transport):
    """Sends by one cipher and receives by another."""

    def __init__(self, wire):
        self.turns = itertools.cycle([("aes128-ctr",), ("aes256-ctr",)])
        super().__init__(wire)

    @property
    def preferred_ciphers(self):
        return next(self.turns)


@contextlib.contextmanager
def another(scene, **options):
    """A login beside the case's own."""
    transports = []
    try:
        yield login(scene, transports, **options)
    finally:
        for transport in reversed(transports):
            transport.close()


def login(scene, transports, kind=paramiko.Transport, stranger=None):
    """A transport, through the jump host where there is one; a `stranger`'s key is tried first."""
    server = scene.server
    key = paramiko.Ed25519Key(filename=server["key"])
    known = hosts(server["knownHosts"])

    def authenticated(wire, name):
        transport = kind(wire)
        transports.append(transport)
        transport.banner_timeout = transport.auth_timeout = PATIENCE
        expected = known.lookup(name)["ssh-ed25519"]
        transport.connect(hostkey=expected)
        if stranger:
            with contextlib.suppress(paramiko.AuthenticationException):
                transport.auth_none(server["user"])
            with contextlib.suppress(paramiko.AuthenticationException):
                transport.auth_publickey(server["user"], stranger)
        transport.auth_publickey(server["user"], key)
        return transport

    if not server["jumpPort"]:
        return authenticated(socket.create_connection((server["host"], server["port"])), f"[{server['host']}]:{server['port']}")
    wire = socket.create_connection(("127.0.0.1", server["jumpPort"]))
    jump = authenticated(wire, f"[127.0.0.1]:{server['jumpPort']}")
    return authenticated(jump.open_channel("direct-tcpip", (server["host"], 22), ("127.0.0.1", 0)), server["host"])


def hosts(path):
    """The plain keys of a known_hosts file; paramiko stumbles over lines of an authority."""
    known = paramiko.HostKeys()
    with open(path) as file:
        for entry in (paramiko.hostkeys.HostKeyEntry.from_line(line) for line in file if not line.startswith("@")):
            for name in entry.hostnames:
                known.add(name, entry.key.get_name(), entry.key)
    return known
