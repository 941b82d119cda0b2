"""Sessions with paramiko."""

import contextlib
import os
import threading
import time

import paramiko

from paramiko_logins import PATIENCE, OneCipherEachWay, another, play
from suite import case, main, noise


def execute(transport, command, input=b"", pty=False, may_end_first=False):
    """Status, output and errors of one command; one that `may_end_first` may close its channel before all input is sent."""
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    if pty:
        channel.get_pty("xterm", 80, 24)
    channel.exec_command(command)
    with contextlib.suppress(OSError) if may_end_first else contextlib.nullcontext():
        channel.sendall(input)
        channel.shutdown_write()
    out, err = b"".join(iter(lambda: channel.recv(65536), b"")), b"".join(iter(lambda: channel.recv_stderr(65536), b""))
    return [channel.recv_exit_status(), out, err]


def execute_large(transport, sent):
    """Sends while it receives, as both windows are smaller than this."""
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.exec_command("cat")

    def send():
        channel.sendall(sent)
        channel.shutdown_write()

    sender = threading.Thread(target=send)
    sender.start()
    out = b"".join(iter(lambda: channel.recv(65536), b""))
    sender.join()
    return [out == sent, channel.recv_exit_status()]


@case
def login__a_key_that_nobody_knows_goes_first(scene, _):
    with another(scene, stranger=paramiko.ECDSAKey.generate()) as transport:
        scene.note("echo", execute(transport, "cat", noise(1000)))


@case
def login__one_cipher_each_way(scene, _):
    with another(scene, kind=OneCipherEachWay) as transport:
        scene.note("ciphers", [transport.local_cipher, transport.remote_cipher])
        scene.note("echo", execute(transport, "cat", noise(100_000)))
        transport.renegotiate_keys()
        scene.note("after new keys", execute(transport, "cat", noise(100_000)))


@case
def exec__streams_and_status(scene, transport):
    scene.note("apart", execute(transport, "echo out; echo err >&2; exit 7"))
    scene.note("echo", execute(transport, "cat", noise(1000)))
    scene.note("killed", execute(transport, "kill -9 $$"))


@case
def exec__lengths_around_a_packet(scene, transport):
    for packets in (1, 2, 4):
        for length in (32768 * packets - 1, 32768 * packets, 32768 * packets + 1):
            scene.note(str(length), execute(transport, "cat", noise(length)))


@case
def exec__a_channel_closed_behind_its_input(scene, transport):
    for name, command in (("read at once", "cat"), ("read later", "sleep 1; cat")):
        kept = scene.path(name.replace(" ", "-"))
        channel = transport.open_session()
        channel.settimeout(PATIENCE)
        channel.exec_command(f"{command} > {kept}.part; mv {kept}.part {kept}")
        channel.sendall(noise(1 << 20))
        channel.close()
        scene.note(name, left_in(kept))


def left_in(file):
    """What a program leaves behind that moves it there at its end."""
    until = time.monotonic() + PATIENCE
    while not os.path.exists(file):
        if time.monotonic() > until:
            return "nothing"
        time.sleep(0.01)
    with open(file, "rb") as left:
        return left.read()


@case
def exec__both_streams_as_one(scene, transport):
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.set_combine_stderr(True)
    channel.exec_command("echo out; sleep 0.2; echo err >&2; sleep 0.2; echo out")
    scene.note("output", channel.makefile("rb").read())
    scene.note("status", channel.recv_exit_status())


@case
def exec__a_terminal(scene, transport):
    scene.note("size", execute(transport, "stty size; echo $TERM; echo err >&2; exit 3", pty=True))


@case
def exec__a_window_changes(scene, transport):
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.get_pty("vt100", 80, 24)
    channel.exec_command("trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.05; done")
    output = channel.makefile("rb")
    scene.note("first", output.readline())
    channel.resize_pty(132, 43)
    scene.note("then", output.readline())
    scene.note("status", channel.recv_exit_status())


@case
def exec__the_environment(scene, transport):
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.update_environment({"LC_X": "x", "FOO": "y", "LD_PRELOAD": "z"})
    channel.exec_command("echo [$LC_X][$FOO][$LD_PRELOAD]")
    scene.note("output", channel.makefile("rb").read())


@case
def exec__a_refused_variable_is_told(scene, transport):
    for name in ("LC_X", "FOO", "LD_PRELOAD"):
        channel = transport.open_session()
        channel.settimeout(PATIENCE)
        try:
            channel.set_environment_variable(name, "x")
            channel.exec_command("true")
            scene.note(name, "sent")
        except paramiko.SSHException as refused:
            scene.note(name, str(refused))
        channel.close()


@case
def exec__many_in_a_row(scene, transport):
    scene.note("all", [execute(transport, f"echo {n}; exit {n}") for n in range(60)])


@case
def exec__input_is_not_read(scene, transport):
    scene.note("head", execute(transport, "head -c 5; exit 4", noise(200000), may_end_first=True))


@case
def exec__a_large_one(scene, transport):
    scene.note("through cat", execute_large(transport, noise(4 << 20)))


@case
def shell__on_a_terminal(scene, transport):
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.get_pty("dumb", 80, 24)
    channel.invoke_shell()
    channel.sendall(b"PS1=; stty -echo; echo be''gun\n")
    seen = b""
    while b"begun" not in seen:
        seen += channel.recv(1000)
    channel.sendall(b"echo $((6*7)); exit 9\n")
    rest = b"".join(iter(lambda: channel.recv(65536), b""))
    scene.note("answer", b"42\r\n" in rest)
    scene.note("status", channel.recv_exit_status())


@case
def shell__a_script(scene, transport):
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.invoke_shell()
    channel.sendall(b"echo one\necho two >&2\nexit 8\n")
    scene.note("output", channel.makefile("rb").read())
    scene.note("errors", channel.makefile_stderr("rb").read())
    scene.note("status", channel.recv_exit_status())


@case
def requests__two_programs_on_one_channel(scene, transport):
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.exec_command("cat")
    try:
        channel.exec_command("echo second")
        scene.note("second", "accepted")
    except (paramiko.SSHException, EOFError) as refused:
        scene.note("second", str(refused))


@case
def requests__an_unknown_subsystem(scene, transport):
    channel = transport.open_session()
    try:
        channel.invoke_subsystem("nonsense")
        scene.note("subsystem", "accepted")
    except (paramiko.SSHException, EOFError) as refused:
        scene.note("subsystem", str(refused))


@case
def requests__an_unknown_kind_of_channel(scene, transport):
    try:
        transport.open_channel("nonsense@example.com", timeout=PATIENCE)
        scene.note("channel", "opened")
    except paramiko.ChannelException:
        # With which code is not compared: the agent's answer is now 1, now 3; sshd's is 2.
        scene.note("channel", "refused")


@case
def requests__a_global_one(scene, transport):
    answer = transport.global_request("nonsense@example.com", wait=True)
    scene.note("answer", None if answer is None else repr(answer))


@case
def connection__new_keys(scene, transport):
    channel = transport.open_session()
    channel.settimeout(PATIENCE)
    channel.exec_command("cat")
    channel.sendall(b"before ")
    transport.renegotiate_keys()
    channel.sendall(b"after")
    channel.shutdown_write()
    scene.note("output", channel.makefile("rb").read())


@case
def connection__keepalives(scene, transport):
    transport.set_keepalive(1)
    begun = time.monotonic()
    scene.note("output", execute(transport, "sleep 3; echo alive"))
    scene.note("alive", transport.is_active() and time.monotonic() - begun >= 3)


if __name__ == "__main__":
    main(play)
