"""Sessions with asyncssh."""

import asyncio

import asyncssh

from asyncssh_logins import Login, ended, ending, play
from suite import case, main, noise


@case
async def exec__every_status(scene, connection):
    gate = asyncio.Semaphore(8)

    async def one(status):
        async with gate:
            done = await connection.run(f"exit {status}")
            return [done.exit_status, done.exit_signal, done.stdout, done.stderr]

    scene.note("statuses", await asyncio.gather(*(one(status) for status in range(256))))


@case
async def exec__every_signal(scene, connection):
    for signal in range(1, 65):
        if signal in (17, 18, 19, 20, 21, 22, 23, 28, 32, 33):
            continue
        done = await connection.run(f"ulimit -c 0; exec sh -c 'kill -{signal} $$; sleep 1'")
        scene.note(f"signal {signal}", [done.exit_status, done.exit_signal])


@case
async def exec__a_core_is_dumped(scene, connection):
    done = await connection.run(f"cd {scene.dir}; ulimit -c unlimited && exec sh -c 'kill -QUIT $$'")
    scene.note("ending", [done.exit_status, done.exit_signal])


@case
async def exec__signals_from_the_client(scene, connection):
    async def one(name):
        process = await connection.create_process("ulimit -c 0; exec sh -c 'echo ready; exec sleep 6'")
        await process.stdout.readline()
        process.send_signal(name)
        scene.note(name, await ended(process) or ending(process))

    names = ["HUP", "INT", "QUIT", "ABRT", "ALRM", "FPE", "ILL", "KILL", "PIPE", "SEGV", "TERM", "USR1", "USR2"]
    await asyncio.gather(*(one(name) for name in names))


@case
async def exec__a_signal_reaches_the_group(scene, connection):
    process = await connection.create_process(
        "sh -c 'trap \"echo child; exit\" USR1; echo ready; n=0; while [ $n -lt 120 ]; do sleep 0.05; n=$((n+1)); done' & "
        "trap 'wait; echo parent; exit 3' USR1; wait; wait"
    )
    await process.stdout.readline()
    process.send_signal("USR1")
    scene.note("output", sorted((await ended(process)).split()))
    scene.note("ending", ending(process))


@case
async def exec__unknown_signals_do_nothing(scene, connection):
    process = await connection.create_process("echo ready; cat; exit 5")
    await process.stdout.readline()
    process.send_signal("NOSUCH")
    process.send_signal("WINCH@example.com")
    process.stdin.write_eof()
    await process.wait()
    scene.note("ending", ending(process))


@case
async def exec__the_order_at_the_end(scene, connection):
    events = []

    class Session(asyncssh.SSHClientSession):
        def data_received(self, data, datatype):
            name = "stderr" if datatype else "stdout"
            if not events or events[-1] != name:
                events.append(name)

        def exit_status_received(self, status):
            events.append(f"status {status}")

        def exit_signal_received(self, signal, *_):
            events.append(f"signal {signal}")

        def eof_received(self):
            events.append("eof")

        def connection_lost(self, exc):
            events.append(f"closed {exc}")

    for name, command in [
        ("output then status", "head -c 200000 /dev/zero; exit 7"),
        ("signal", "echo out; kill -9 $$"),
        ("nothing", "exit 2"),
        ("output after the end", "(sleep 0.5; echo late) & exit 4"),
        ("errors last", "echo out; sleep 0.2; echo err >&2; exit 1"),
        ("output closed first", "exec >&- 2>&-; sleep 0.5; exit 6"),
    ]:
        events.clear()
        channel, _ = await connection.create_session(Session, command, encoding=None)
        await channel.wait_closed()
        # asyncssh does not tell of an end of file that comes together with the close before the session has begun.
        scene.note(f"{name}: what came", sorted(set(events) - {"eof"}))
        output = [n for n, event in enumerate(events) if event in ("stdout", "stderr")]
        end = next(n for n, event in enumerate(events) if event.startswith(("status", "signal")))
        # Both of end of file and status may come first, and with sshd they do.
        scene.note(f"{name}: output is before end of file", "eof" not in events or all(n < events.index("eof") for n in output))
        scene.note(f"{name}: closed last", events[-1])
        if name == "output after the end":
            scene.note(f"{name}: the status waits for it", output[-1] < end)


@case
async def exec__half_close(scene, connection):
    process = await connection.create_process("cat; sleep 0.2; echo after; exit 3", encoding=None)
    process.stdin.write(b"sent")
    process.stdin.write_eof()
    scene.note("output", await process.stdout.read())
    await process.wait()
    scene.note("ending", ending(process))


@case
async def exec__lengths_around_a_packet(scene, connection):
    for packets in (1, 2, 3, 8):
        for length in (32768 * packets - 1, 32768 * packets, 32768 * packets + 1):
            sent = noise(length)
            done = await connection.run("cat", input=sent, encoding=None)
            scene.note(f"{length} through cat", [done.stdout == sent, done.stderr, done.exit_status])
            done = await connection.run(f"head -c {length} /dev/zero >&2", encoding=None)
            scene.note(f"{length} as errors", [len(done.stdout), len(done.stderr), done.exit_status])


@case
async def exec__streams_stay_apart(scene, connection):
    command = "i=0; while [ $i -lt 500 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done"
    done = await connection.run(command)
    scene.note("stdout", done.stdout.encode())
    scene.note("stderr", done.stderr.encode())


@case
async def exec__fifty_at_once(scene, connection):
    async def one(n):
        done = await connection.run(f"cat; echo {n}; exit {n}", input="x" * 1000 * n + "\n")
        return [len(done.stdout), done.exit_status]

    scene.note("all", await asyncio.gather(*(one(n) for n in range(50))))


@case
async def exec__environment_requests(scene, connection):
    variables = {
        "LANG": "xx", "LC_X": "y", "COLORTERM": "c", "TERM": "t", "GIT_X": "g", "PATH": "p", "LD_PRELOAD": "l",
        "LC_EMPTY": "", "LC_LINES": "a\nb", "FOO": "f", "lang": "x", "LC-DASH": "d",
    }
    done = await connection.run("env -0 | sort -z | tr '\\0' '|'", env=variables)
    scene.note("seen", [one for one in done.stdout.split("|") if one.split("=")[0] in variables and one[:5] != "PATH="])


@case
async def exec__wide_characters(scene, connection):
    done = await connection.run("printf '%s' 'äöü€😀'; cat", input="äöü€😀")
    scene.note("stdout", done.stdout)


@case
async def exec__a_cancelled_channel(scene, connection):
    process = await connection.create_process("echo ready; exec sleep 5")
    await process.stdout.readline()
    process.close()
    done = await connection.run("echo the connection lives")
    scene.note("after", done.stdout)


@case
async def terminal__modes_one_by_one(scene, connection):
    modes = {
        asyncssh.PTY_VINTR: 24, asyncssh.PTY_VERASE: 8, asyncssh.PTY_VKILL: 21, asyncssh.PTY_VEOF: 5, asyncssh.PTY_VEOL: 255,
        asyncssh.PTY_IGNPAR: 1, asyncssh.PTY_PARMRK: 1, asyncssh.PTY_INPCK: 1, asyncssh.PTY_ISTRIP: 1, asyncssh.PTY_INLCR: 1,
        asyncssh.PTY_IGNCR: 1, asyncssh.PTY_ICRNL: 0, asyncssh.PTY_IUCLC: 1, asyncssh.PTY_IXON: 0, asyncssh.PTY_IXANY: 0,
        asyncssh.PTY_IXOFF: 1, asyncssh.PTY_IMAXBEL: 1, asyncssh.PTY_IUTF8: 1, asyncssh.PTY_ISIG: 0, asyncssh.PTY_ICANON: 0,
        asyncssh.PTY_XCASE: 1, asyncssh.PTY_ECHO: 0, asyncssh.PTY_ECHOE: 0, asyncssh.PTY_ECHOK: 0, asyncssh.PTY_ECHONL: 1,
        asyncssh.PTY_NOFLSH: 1, asyncssh.PTY_TOSTOP: 1, asyncssh.PTY_IEXTEN: 0, asyncssh.PTY_ECHOCTL: 0, asyncssh.PTY_ECHOKE: 0,
        asyncssh.PTY_OPOST: 0, asyncssh.PTY_OLCUC: 1, asyncssh.PTY_ONLCR: 0, asyncssh.PTY_OCRNL: 1, asyncssh.PTY_ONOCR: 1,
        asyncssh.PTY_ONLRET: 1, asyncssh.PTY_CS7: 1, asyncssh.PTY_CS8: 0, asyncssh.PTY_PARENB: 1, asyncssh.PTY_PARODD: 1,
        asyncssh.PTY_OP_ISPEED: 9600, asyncssh.PTY_OP_OSPEED: 9600,
    }
    for mode, value in modes.items():
        done = await connection.run("stty -a", term_type="xterm", term_size=(80, 24), term_modes={mode: value})
        scene.note(f"mode {mode} = {value}", done.stdout)


@case
async def terminal__without_a_type(scene, connection):
    done = await connection.run("echo [$TERM]; test -t 0 && echo tty", request_pty="force", term_type="")
    scene.note("output", done.stdout)


@case
async def terminal__window_changes(scene, connection):
    # Shells lose a SIGWINCH that comes while they handle one.
    watch = 'while :; do new=$(stty size); [ "$new" = "$old" ] || echo "$new"; old=$new; sleep 0.05; done'
    process = await connection.create_process(watch, term_type="xterm", term_size=(80, 24))
    seen = [await process.stdout.readline()]
    for columns, rows in [(100, 30), (1, 1), (300, 200)]:
        process.change_terminal_size(columns, rows)
        seen.append(await process.stdout.readline())
    scene.note("seen", seen)
    process.close()


@case
async def terminal__a_break(scene, connection):
    process = await connection.create_process("trap 'echo interrupted; exit 4' INT; stty brkint; echo ready; sleep 5; sleep 5", term_type="xterm")
    await process.stdout.readline()
    scene.note("answer", process.send_break(100))
    try:
        done = await asyncio.wait_for(process.wait(), 3)
        scene.note("output", done.stdout)
    except asyncio.TimeoutError:
        scene.note("output", "nothing happened")
    process.close()


@case
async def terminal__a_signal_from_the_client(scene, connection):
    process = await connection.create_process("trap 'echo told; exit 4' TERM; echo ready; sleep 6 & wait", term_type="xterm")
    await process.stdout.readline()
    process.send_signal("TERM")
    scene.note("output", await ended(process))
    scene.note("ending", ending(process))


@case
async def terminal__eof_request_is_no_key(scene, connection):
    process = await connection.create_process("stty -echo; echo ready; cat; exit 3", term_type="xterm")
    await process.stdout.readline()
    process.stdin.write("line\n")
    process.stdin.channel.write_eof()
    try:
        await asyncio.wait_for(process.wait(), 2)
        scene.note("ending", ending(process))
    except asyncio.TimeoutError:
        scene.note("ending", "still running")
    process.close()


@case
async def shell__a_script(scene, connection):
    done = await connection.run(None, input="echo $0; exit 6\n")
    scene.note("output", done.stdout)
    scene.note("ending", [done.exit_status, done.exit_signal])


@case
async def shell__several_beside_each_other(scene, connection):
    shells = [await connection.create_process(request_pty=False) for _ in range(5)]
    for n, shell in enumerate(shells):
        shell.stdin.write(f"x={n}; echo $x\n")
    scene.note("first", [await shell.stdout.readline() for shell in shells])
    for shell in shells:
        shell.stdin.write("exit $x\n")
    scene.note("endings", [(await shell.wait()).exit_status for shell in shells])


@case
async def requests__two_programs_on_one_channel(scene, connection):
    process = await connection.create_process("echo ready; cat")
    await process.stdout.readline()
    answer = await process.channel._make_request(b"exec", asyncssh.packet.String("echo second"))
    scene.note("second", answer)
    process.stdin.write_eof()
    scene.note("output", (await process.wait()).stdout)


@case
async def requests__unknown_ones_are_refused(scene, connection):
    process = await connection.create_process("cat")
    scene.note("of a channel", await process.channel._make_request(b"nonsense@example.com"))
    scene.note("of the connection", (await connection._make_global_request(b"nonsense@example.com"))[0])
    scene.note("keepalive", (await connection._make_global_request(b"keepalive@openssh.com"))[0])
    process.stdin.write_eof()
    scene.note("ending", (await process.wait()).exit_status)


@case
async def requests__an_unknown_subsystem(scene, connection):
    try:
        await connection.create_session(asyncssh.SSHClientSession, subsystem="nonsense")
        scene.note("subsystem", "opened")
    except asyncssh.ChannelOpenError as refused:
        scene.note("subsystem", [refused.code, refused.reason])


@case
async def connection__rekeyed_often(scene, connection):
    async with Login(scene, rekey_bytes=1 << 20) as other:
        sent = noise(8 << 20)
        done = await other.run("cat", input=sent, encoding=None)
        scene.note("same", done.stdout == sent)
        scene.note("ending", done.exit_status)


@case
async def connection__keepalives(scene, connection):
    async with Login(scene, keepalive_interval=0.3, keepalive_count_max=3) as other:
        done = await other.run("sleep 2; echo alive")
        scene.note("output", done.stdout)


@case
async def connection__compressed(scene, connection):
    async with Login(scene, compression_algs=["zlib@openssh.com", "none"]) as other:
        done = await other.run("cat", input=noise(1 << 20), encoding=None)
        scene.note("output", done.stdout)



@case
async def connection__a_hundred_in_a_row(scene, connection):
    async def one(n):
        async with Login(scene) as other:
            done = await other.run(f"echo {n}; exit {n}")
            async with other.start_sftp_client() as sftp:
                return [done.stdout, done.exit_status, await sftp.isdir(scene.dir)]

    for start in range(0, 48, 4):
        scene.note(f"from {start}", await asyncio.gather(*(one(n) for n in range(start, start + 4))))


if __name__ == "__main__":
    main(play)
