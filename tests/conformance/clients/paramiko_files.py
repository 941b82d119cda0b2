"""Files and forwards with paramiko."""

import os
import socket
import stat
import threading

import paramiko

from paramiko_logins import PATIENCE, play
from suite import case, main, noise


def attributes(found):
    """What of a file's attributes two servers must agree on."""
    return [found.st_size, oct(found.st_mode), found.st_uid, found.st_gid, found.st_mtime]


def answer(scene, name, call, *arguments):
    """Notes what a call gives, or the number and words of its refusal."""
    try:
        scene.note(name, call(*arguments))
    except (OSError, paramiko.SSHException) as refused:
        scene.note(name, [type(refused).__name__, getattr(refused, "errno", None), str(refused)])


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


def client(transport):
    sftp = paramiko.SFTPClient.from_transport(transport)
    sftp.get_channel().settimeout(PATIENCE)
    return sftp


def serve(server):
    caller, _ = server.accept()
    with caller:
        said = b"".join(iter(lambda: caller.recv(65536), b""))
        caller.sendall(b"hello " + said.upper())


@case
def sftp__stat_and_setstat(scene, transport):
    sftp = client(transport)
    path = make(scene, "file", b"0123456789", mode=0o640)
    scene.note("stat", attributes(sftp.stat(path)))
    os.symlink("file", scene.path("link"))
    scene.note("through a link", attributes(sftp.stat(scene.path("link"))))
    scene.note("of a link", stat.S_ISLNK(sftp.lstat(scene.path("link")).st_mode))
    sftp.chmod(path, 0o755)
    sftp.utime(path, (5, 6))
    sftp.truncate(path, 4)
    found = os.stat(path)
    scene.note("after", [oct(found.st_mode), found.st_atime, found.st_size])
    for name, call, arguments in [
        ("stat", sftp.stat, ["missing"]), ("lstat", sftp.lstat, ["missing"]), ("chmod", sftp.chmod, ["missing", 0o600]),
        ("remove", sftp.remove, ["missing"]), ("rmdir", sftp.rmdir, ["missing"]), ("readlink", sftp.readlink, ["file"]),
        ("listdir", sftp.listdir, ["missing"]), ("listdir of a file", sftp.listdir, ["file"]), ("open", sftp.open, ["missing"]),
        ("mkdir", sftp.mkdir, ["file"]), ("below a file", sftp.stat, ["file/x"]), ("a long name", sftp.stat, ["n" * 300]),
    ]:
        answer(scene, name, call, scene.path(arguments[0]), *arguments[1:])


@case
def sftp__renames_and_links(scene, transport):
    sftp = client(transport)
    make(scene, "one", b"1")
    make(scene, "two", b"2")
    answer(scene, "rename over", sftp.rename, scene.path("one"), scene.path("two"))
    answer(scene, "posix_rename over", sftp.posix_rename, scene.path("one"), scene.path("two"))
    answer(scene, "rename", sftp.rename, scene.path("two"), scene.path("three"))
    answer(scene, "rename missing", sftp.rename, scene.path("missing"), scene.path("x"))
    answer(scene, "symlink", sftp.symlink, "three", scene.path("link"))
    answer(scene, "readlink", sftp.readlink, scene.path("link"))
    answer(scene, "normalize", lambda: sftp.normalize(scene.path("./link/../three")))
    scene.note("left", sorted(os.listdir(scene.dir)))


@case
def sftp__listings(scene, transport):
    sftp = client(transport)
    for n in range(700):
        make(scene, f"f{n}", b"x" * n)
    entries = sorted(sftp.listdir_attr(scene.dir), key=lambda entry: entry.filename)
    scene.note("entries", [[entry.filename, entry.st_size] for entry in entries])
    scene.note("a long name", str(entries[0]).split()[0])
    scene.note("iterated", len(list(sftp.listdir_iter(scene.dir, read_aheads=20))))


@case
def sftp__reads_and_writes(scene, transport):
    sftp = client(transport)
    sent = noise(2_500_003)
    with sftp.open(scene.path("file"), "wb") as file:
        file.set_pipelined(True)
        file.write(sent)
    scene.note("written", read(scene.path("file")) == sent)
    with sftp.open(scene.path("file"), "rb") as file:
        file.prefetch()
        scene.note("prefetched", file.read() == sent)
    with sftp.open(scene.path("file"), "rb") as file:
        scene.note("in pieces", [len(piece) for piece in file.readv([(0, 10), (2_500_000, 3), (40_000, 70_000)])])
        file.seek(-3, 2)
        scene.note("the end", file.read() == sent[-3:])
    with sftp.open(scene.path("file"), "ab") as file:
        file.write(b"more")
        scene.note("position", file.tell())
    with sftp.open(scene.path("file"), "r+b") as file:
        file.seek(3)
        file.write(b"inside")
        file.truncate(12)
        scene.note("stat", file.stat().st_size)
    scene.note("left", read(scene.path("file")))
    answer(scene, "exclusive", sftp.open, scene.path("file"), "x")


@case
def sftp__put_and_get(scene, transport):
    sftp = client(transport)
    for length in (0, 1, 32767, 32768, 32769, 3_000_000):
        make(scene, "up", noise(length))
        scene.note(f"put {length}", sftp.put(scene.path("up"), scene.path("far")).st_size)
        sftp.get(scene.path("far"), scene.path("down"))
        scene.note(f"same {length}", read(scene.path("down")) == noise(length))


@case
def sftp__working_folder(scene, transport):
    sftp = client(transport)
    scene.note("none", sftp.getcwd())
    sftp.chdir(scene.dir)
    scene.note("chosen", sftp.getcwd())
    sftp.mkdir("below", 0o711)
    scene.note("mode", oct(os.stat(scene.path("below")).st_mode))
    answer(scene, "a missing one", sftp.chdir, "missing")


@case
def sftp__several_clients(scene, transport):
    clients = [client(transport) for _ in range(8)]
    for n, sftp in enumerate(clients):
        with sftp.open(scene.path(str(n)), "wb") as file:
            file.write(noise(n * 10_000))
    scene.note("sizes", [sftp.stat(scene.path(str(n))).st_size for n, sftp in enumerate(clients)])
    for sftp in clients:
        sftp.close()


@case
def forward__connections(scene, transport):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        channel = transport.open_channel("direct-tcpip", server.getsockname(), ("127.0.0.1", 5))
        channel.settimeout(PATIENCE)
        channel.sendall(b"said")
        channel.shutdown_write()
        scene.note("heard", channel.makefile("rb").read())
    try:
        transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 5), timeout=PATIENCE)
    except paramiko.ChannelException as refused:
        scene.note("refused", [refused.code, refused.text])


@case
def forward__remote_port(scene, transport):
    port = transport.request_port_forward("127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        channel = transport.accept(PATIENCE)
        channel.settimeout(PATIENCE)
        channel.sendall(b"hello")
        channel.shutdown_write()
        scene.note("heard", caller.recv(100))
        scene.note("from", channel.origin_addr[0])
        channel.close()
    transport.cancel_port_forward("127.0.0.1", port)
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        scene.note("after", "somebody listens")
    except ConnectionRefusedError:
        scene.note("after", "nobody listens")


if __name__ == "__main__":
    main(play)
