//! Every bound of the workspace's SSH server, with its reason.

use drawbridge_shared::native::backlog::inflow::Bounds;
use std::time::Duration;

/// From the first byte to a verified signature, as sshd's LoginGraceTime: the person who was asked at the jump host is asked once more.
pub(super) const LOGIN_DEADLINE: Duration = Duration::from_secs(120);
/// One look-up of a key, a refresh of the document included; well under the 15 s that VS Code gives a whole login.
pub(super) const AUTHORIZE_DEADLINE: Duration = Duration::from_secs(10);
/// One question to the name service; an LDAP server that does not answer must not hold a login for longer.
pub(super) const NAME_SERVICE: Duration = Duration::from_secs(5);
/// Rejected tries of one connection. sshd's 6 locks out agents that hold many keys, and a probe costs one look-up in memory.
pub(super) const AUTH_ATTEMPTS: usize = 24;

/// How long a client may take to close its side after our disconnect message.
pub(super) const DISCONNECT_GRACE: Duration = Duration::from_secs(2);

/// Open channels of one connection; fifty windows of an editor with some forwards each fit.
pub(super) const CHANNELS: usize = 256;
/// Channels of one connection that we have closed and the client has not: russh keeps 4 kB of each. A client answers at once.
pub(super) const LEFTOVERS: usize = 1024;
/// Session channels of all connections: each may run a program with three pipes or a terminal, and descriptors are what
/// runs out first.
pub(super) const SESSIONS: usize = 1024;
/// Variables one session may set; sshd's number.
pub(super) const ENV_VARIABLES: usize = 128;
/// Bytes of one variable, name included: the kernel takes strings of 128 KiB, `=` and the end among them.
pub(super) const ENV_VALUE: usize = 128 * 1024 - 2;
/// Bytes of all of a session's variables, names included: a quarter of what the kernel takes for a program's arguments and environment.
pub(super) const ENV_BYTES: usize = 512 * 1024;
/// Bytes of the terminal's name, which becomes `TERM`.
pub(super) const TERM_BYTES: usize = 256;
/// Signals that may arrive before the program runs.
pub(super) const EARLY_SIGNALS: usize = 8;

/// What a client may send ahead of its slow channels. Over distance a window of 2 MiB caps uploads, 8 MiB does not; nearby
/// OpenSSH's client pays for more than 2.
/// A stalled channel holds up to `high` plus the windows granted before the mark was passed. Until one holds 32 MiB the
/// others are free: between that and `low` is room for what they have in flight, or they would choke themselves for good.
pub(super) const INFLOW: Bounds =
    Bounds { packet: PACKET, first_window: 2 << 20, window: 8 << 20, granted: 64 << 20, high: 48 << 20, low: 40 << 20 };
/// What all connections hold of such data is this part of the workspace's memory, which is its programs' first: a dozen restores whose
/// disk is slow would take a gigabyte. Beyond it, connections that hold a megabyte or more are refilled as long as they hold less than
/// a largest window and a first one.
pub(super) const HELD_PART: u64 = 16;
/// But no less: a stalled channel of one connection.
pub(super) const MIN_HELD: usize = 64 << 20;
/// Largest packet taken from a client; sshd's number.
pub(super) const PACKET: u32 = 32 * 1024;
/// Messages of all channels queued for the connection's loop, each at most one packet.
pub(super) const OUTBOUND_MESSAGES: usize = 64;
/// russh's own per-channel queue, of which only the confirmation of our own opens is read.
pub(super) const CHANNEL_MESSAGES: usize = 4;
/// Buffer under russh, which reads four bytes and then the rest of each packet.
pub(super) const READ_BUFFER: usize = 64 * 1024;

/// Programs that are being started at a time, of all connections: more would only wait for the process's memory, which a fork copies.
pub(super) const STARTING: usize = 2;
/// Whoever takes longer, since its home does not answer, lets others start meanwhile.
pub(super) const TURN: Duration = Duration::from_secs(1);

/// Calls to file systems at a time, of all connections; one account has half of them at most. Each has a thread, of 512 in all that the
/// agent's own files are saved with too, and one whose folder does not answer keeps it.
pub(super) const ASIDE: usize = 64;
/// One question to a file system that somebody waits for; a home on a server that is being started again is there by then.
pub(super) const FILE_SYSTEM: Duration = Duration::from_secs(5);

/// Bytes of one notice file (the message of the day) that users are shown.
pub(super) const NOTICE_BYTES: u64 = 64 * 1024;

/// Bytes of `/etc/shells` that are read.
pub(super) const SHELLS: u64 = 64 * 1024;

/// Most bytes read from a program at once: what a pipe holds.
pub(super) const OUTPUT_READ: usize = 64 * 1024;
/// Room below which the read buffer is renewed, so that small outputs share one.
pub(super) const OUTPUT_ROOM: usize = 8 * 1024;

/// Bytes through a program's pipe from which on it is wide.
pub(super) const PIPE_AFTER: usize = 1 << 20;
/// What a wide pipe holds: 64 of the 16,384 pages that the kernel gives the pipes of an account freely (`pipe-user-pages-soft`).
pub(super) const PIPE: usize = 256 * 1024;

/// A program whose client closed its channel may take no input for so long, or go on after its end, before it is hung up: time to write
/// what it has read.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// Between SIGHUP and SIGKILL when a client has gone: time to save a file, not to finish a build.
pub(super) const HANGUP_GRACE: Duration = Duration::from_secs(5);
/// From the end of that to a leader's own: time for the kernel, and no longer for one that we may not kill.
pub(super) const REAP: Duration = Duration::from_millis(500);
/// How often the remains of process groups are looked at in that time, of all that are hung up together.
pub(super) const HANGUP_LOOK: Duration = Duration::from_millis(100);

/// Forwarded connections of one connection, both ways together, those included whose last bytes are still on their way to
/// a slow socket after the client closed.
pub(super) const FORWARDS: usize = CHANNELS;
/// Of those, how many are being made at a time; the rest wait for their turn. A browser behind `-D` opens a few dozen.
pub(super) const CONNECTING: usize = 64;
/// Looking a name up and reaching one of its addresses; sshd leaves it to the kernel, which takes two minutes an address.
pub(super) const CONNECT: Duration = Duration::from_secs(30);
/// One address of several, so that the last is tried when the first swallows packets; that has what is left of [`CONNECT`].
pub(super) const CONNECT_TRY: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
pub(super) const ADDRESSES: usize = 16;
/// Names looked up at a time, all connections together: each holds a thread of the pool that files are read with too.
pub(super) const LOOK_UPS: usize = 64;
/// Bytes of a host's name or address; names in the DNS have 253.
pub(super) const HOST_NAME: usize = 255;
/// Bytes of a socket's path: what `sun_path` holds beside its NUL.
pub(super) const SOCKET_PATH: usize = 107;
/// Ports and sockets that one connection listens on.
pub(super) const LISTENERS: usize = 64;
/// Free ports that are tried until one is free on every address that is listened on.
pub(super) const PORT_TRIES: usize = 8;
/// Connections that the kernel keeps for one listening socket; sshd's number.
pub(super) const LISTEN_BACKLOG: i32 = 128;
/// Connections to one listening socket that wait for the client's answer; the kernel keeps the others.
pub(super) const WAITING: usize = 32;
/// Connections to the agent socket at a time; each is one question of an `ssh` or `git`.
pub(super) const AGENT_CONNECTIONS: usize = 32;
/// Between two tries to accept when the process has no descriptor left.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
