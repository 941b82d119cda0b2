//! Every bound of the daemon, with its reason.

use drawbridge_shared::native::backlog::inflow::Bounds;
use std::time::Duration;

/// From TCP accept to the keys that the first exchange makes: machines' work.
pub(crate) const EXCHANGE_DEADLINE: Duration = Duration::from_secs(10);
/// From TCP accept to a proven key: a person may look at a host key, type a passphrase, find a security key (sshd:
/// `LoginGraceTime 120`).
pub(crate) const LOGIN_DEADLINE: Duration = Duration::from_secs(120);
/// Sources of one family of addresses that have something to answer for; each takes about 100 bytes.
pub(crate) const MAX_PENALISED: usize = 65_536;
/// A source that has so much to answer for is shut out until all of it has passed: twelve refused logins at once, or
/// more than one in five seconds for long. Many may stand behind one address: a script that fails now and then is
/// nobody's reason to keep its neighbours out.
pub(crate) const PENALTY_THRESHOLD: Duration = Duration::from_secs(60);
/// And nobody longer than this (sshd: `max:10m`).
pub(crate) const MAX_PENALTY: Duration = Duration::from_secs(600);
/// For a login that was refused (sshd: `authfail:5s`).
pub(crate) const PENALTY_REFUSED: Duration = Duration::from_secs(5);
/// For one that took too long: it held a place all the time (sshd: `grace-exceeded:10s`).
pub(crate) const PENALTY_SLOW: Duration = Duration::from_secs(10);
/// For what is no SSH: nobody does so by mistake often.
pub(crate) const PENALTY_VIOLATION: Duration = Duration::from_secs(10);
/// For going without a try (sshd: `noauth:1s`): a look once a second adds nothing up.
pub(crate) const PENALTY_GONE: Duration = Duration::from_secs(1);
/// Between two lines of the log about connections that were given up before a key was proven, and about agents refused before that.
pub(crate) const DIGEST_PAUSE: Duration = Duration::from_secs(10);
/// Outer connections of one daemon; each takes about 55 kB idle, and a channel 15 more.
pub(crate) const MAX_CONNECTIONS: usize = 10_000;
/// Those of one user, such as a platform's own CI: the others have as many left.
pub(crate) const MAX_CONNECTIONS_OF_USER: usize = MAX_CONNECTIONS / 2;
/// Channels of one outer connection at a time: an IDE behind ControlMaster opens dozens.
pub(crate) const MAX_CHANNELS: usize = 128;
/// Channels to workspaces of one daemon, over all connections, a user's half of them: two for each connection. They take 300 MB, and
/// over WebSocket a socket each (`descriptors` adds up what there is).
pub(crate) const MAX_CARRIED: usize = 2 * MAX_CONNECTIONS;
/// Answers of the jump host itself (greetings, refused commands) whose channels the client has not closed yet: russh keeps some
/// kilobytes of each.
pub(crate) const MAX_ANSWERS: usize = 256;
/// Channels to workspaces that we have closed and the client has not, for the same reason: 4 MB at most.
pub(crate) const MAX_LEFTOVERS: usize = 1024;
/// Such an answer is taken by the client within this time: all fits in the first window of any SSH client.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Workspaces that a greeting lists; a user of more knows what to look for.
pub(crate) const GREETED_WORKSPACES: usize = 100;
/// Offers of one connection that are refused, since their keys are unknown: agents hold dozens of keys, and each costs a
/// look-up.
pub(crate) const MAX_OFFERS: usize = 64;
/// Signatures of one connection that are verified (sshd: `MaxAuthTries 6`): the right one is the first, or the user's
/// agent does not have it.
pub(crate) const MAX_SIGNATURES: usize = 6;
/// A silent client is asked after this long; NATs forget idle TCP flows after minutes.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What was sent to a client may be unacknowledged for so long: a laptop that slept for two hours goes on where it was. sshd asks
/// nothing by itself, and the kernel that asks for it gives up after 2 h 11 min; Linux gives up after 15 minutes what it has to
/// deliver, as our questions are.
pub(crate) const UNACKNOWLEDGED: Duration = Duration::from_secs(131 * 60);
/// After a disconnect the client may take this long to close its side.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// Bytes read at once below russh, which itself asks for 4 and then for the rest of a packet.
pub(crate) const READ_BUFFER: usize = 64 * 1024;
/// Bytes that the channels of one outer connection keep for their agents or have from them, beyond 256 KiB a direction
/// that each may have: four full windows.
pub(crate) const MAX_BUFFERED: usize = 32 << 20;
/// Such bytes of all outer connections are this part of the memory that the daemon may have: the rest is what connections take while they
/// hold none, and the tunnels. Beyond it, of connections that hold a megabyte or more each channel has 256 KiB a direction, and each
/// connection is refilled as long as it holds less than a channel's largest window and a first one.
pub(crate) const BUFFERED_PART: u64 = 4;
/// But no less: what a few connections may hold that move a lot.
pub(crate) const MIN_BUFFERED: usize = 256 << 20;
/// A connection without a tunnel looks for one this often, beside being told of new ones: a tunnel may fail it at once.
pub(crate) const RESUME_PAUSE: Duration = Duration::from_secs(1);
/// An agent process that is still there dials again within 30 s, and has 10 s to come in. Where another serves its
/// workspace beside it and it has not come by then, it has died. One that serves alone says at once that it has.
pub(crate) const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(45);
/// A channel whose client has closed it is over when its agent has taken what was sent, and then confirmed that, which over a tunnel that
/// is there takes what is on its way, 32 MiB at most, and a round trip. So long for either.
pub(crate) const SETTLING: Duration = Duration::from_secs(30);
/// What a stopping daemon still has to tell agents of its connections takes no longer.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// What one outer connection may hold on its way in. Inner SSH connections bring windows of their own (2 MiB a channel
/// with OpenSSH), so that only a client that is no SSH client reaches the mark. Between `low` and `high` is room for what
/// the other channels have in flight, or they would choke themselves for good.
pub(crate) const INFLOW: Bounds =
    Bounds { packet: 32 << 10, first_window: 2 << 20, window: 8 << 20, granted: 64 << 20, high: 48 << 20, low: 40 << 20 };

/// An agent shows who it is within this time from its first packet.
pub(crate) const TUNNEL_HANDSHAKE: Duration = Duration::from_secs(10);
/// Tunnels in their handshake, over each transport, and as many sockets from where tunnels over WebSocket are in. Half of them from one
/// source: a fleet of agents behind one address is in by hundreds a second.
pub(crate) const MAX_TUNNEL_HANDSHAKES: usize = 1024;
/// Callers over TCP that have said nothing yet, and as many from where tunnels over WebSocket are in; each takes a socket, and whoever is
/// silent for longest makes room.
pub(crate) const MAX_SILENT: usize = 512;
/// They say something within this time, TLS and HTTP are done within this much again: round trips of the longest ways, and a busy
/// machine.
pub(crate) const SOCKET_HANDSHAKE: Duration = Duration::from_secs(4);
/// Agents that wait over QUIC for a place among these: all that a restart brings at once. Sent away they would come back with
/// longer and longer pauses. Each has proven its address and costs what its first packets hold. Half of them from one source.
pub(crate) const MAX_KNOCKS: usize = 8192;
/// For so long at most; an agent gives up after five seconds.
pub(crate) const KNOCK: Duration = Duration::from_secs(4);
/// After a user or an agent could not be accepted, for want of file descriptors mostly.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A daemon that was just started is registered within this time: until then the log does not miss it in the directory.
pub(crate) const ENLISTING: Duration = Duration::from_secs(5);
/// Between two lines of the log about one door that cannot accept: it tries ten times a second, and may do so for hours.
pub(crate) const ACCEPT_TOLD: Duration = Duration::from_secs(60);
/// Between two lines of the log about one workspace whose agents each say that they are the only one: they come back all the time.
pub(crate) const RIVALS_TOLD: Duration = Duration::from_secs(10 * 60);
/// Workspaces that are told of in that time: a machine that falls with many agents is no reason for many lines.
pub(crate) const MAX_RIVALS_TOLD: usize = 256;
/// Tunnels of one daemon, with those that were left: quinn takes about 30 kB an idle one.
pub(crate) const MAX_TUNNELS: usize = 50_000;
/// Tunnels of one workspace: two ways, each with one that goes back to QUIC, of an agent and of its successor.
pub(crate) const MAX_TUNNELS_PER_WORKSPACE: usize = 8;
/// Tunnels of one workspace, beside these, that were left and serve what runs: a session for each of the ways that its agent has had.
/// Whichever was left first ends for one more, and its sessions go on over the tunnels that are there.
pub(crate) const MAX_PARTING_PER_WORKSPACE: usize = 8;
/// One of them that has carried nothing for so long ends: an agent closes it at once, and what was on its way to it has come by then.
pub(crate) const PARTED: Duration = Duration::from_secs(10);
/// Departures of workspaces' last tunnels that are remembered: as many as there may be tunnels.
pub(crate) const MAX_ABSENCES: usize = MAX_TUNNELS;
/// A tunnel gives a stream within this time, or counts as full.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// What a refused agent is told to wait, before its own jitter.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// And for each other one in its handshake: what that costs a core.
pub(crate) const RETRY_EACH: Duration = Duration::from_millis(4);
/// At most so long.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
/// An agent says its first word on a stream within this time, or is not there any more: longer than a tunnel takes to notice that, and
/// than a busy machine needs.
pub(crate) const FIRST_WORD: Duration = Duration::from_secs(20);
/// Tunnels that are tried for one stream, where each has broken a moment before.
pub(crate) const OPEN_TRIES: usize = 3;
/// An agent whose tunnel has just gone mostly comes back: it notices, and dials within a second. For so long after that somebody who
/// asks for its workspace waits.
pub(crate) const COMES_BACK: Duration = Duration::from_secs(5);
/// After a start agents are on their way: for so long somebody who asks for a workspace waits for its agent. They dial within
/// a second or, after a crash, within seconds.
pub(crate) const ARRIVALS: Duration = Duration::from_secs(10);
/// Connections that were begun before a successor listened arrive at the old door: their last packet may be lost twice, to be
/// sent again after 1 s and 2 s.
pub(crate) const CALLERS_UNDERWAY: Duration = Duration::from_secs(3);
/// The file that says where a daemon listens: three addresses and a number.
pub(crate) const MAX_LISTENING: u64 = 1024;
/// A leaving daemon asks its successor this often whether an agent has come there: they dial within a second.
pub(crate) const PASSAGE_PAUSE: Duration = Duration::from_millis(200);
/// Streams that a daemon gives its predecessor at a time, two files each: as many as that may have connections.
pub(crate) const MAX_PASSAGES: usize = MAX_CONNECTIONS;
/// Frames waiting for one agent's control stream: it drains at once or is dead.
pub(crate) const CONTROL_QUEUE: usize = 16;

/// Shards fetched at a time.
pub(crate) const PARALLEL_SHARDS: usize = 16;
/// Threads that read, hash and sync shards: a disk takes several writes at a time, and the rest is two cores' work.
pub(crate) const DISK_THREADS: usize = 8;
/// Back-off of the feed: from, and to. All daemons lose an edge that restarts at once, so the first wait spreads them too.
pub(crate) const FEED_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// While the feed is up the edge is asked this seldom: only to notice a feed that is up and says nothing.
pub(crate) const FEED_POLL: Duration = Duration::from_secs(30);
/// A feed that says nothing for this long, pongs included, is dead.
pub(crate) const FEED_SILENCE: Duration = Duration::from_secs(30);
/// The feed is pinged this often.
pub(crate) const FEED_PING: Duration = Duration::from_secs(10);

/// Keys whose use the edge does not know yet: more than a daemon's connections, so that it is full only when the edge is gone.
pub(crate) const MAX_USED_KEYS: usize = 20_000;
/// The edge learns of uses this often.
pub(crate) const USED_PAUSE: Duration = Duration::from_secs(60);
/// Uses that the edge could not be told for this long are forgotten.
pub(crate) const USED_KEEP: Duration = Duration::from_secs(6 * 60 * 60);

/// After its goodbyes a stopping daemon waits this long for agents to part.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// After a revocation the agent gets this long to tell the user why, on its own evidence, before the daemon ends the
/// channel: a call to the edge fits, and both are over well within a second of the edge's acknowledgement.
pub(crate) const PARTING: Duration = Duration::from_millis(300);

/// The same where the whole connection is to end for it, which takes [`PARTING`] too before it says why: still within the second.
pub(crate) const OUTLIVED: Duration = Duration::from_millis(900);

/// Lines that wait for the audit trail's disk: two seconds of a thousand logins a second, in 2 MiB.
pub(crate) const AUDIT_QUEUE: usize = 4096;
/// Lines written at once.
pub(crate) const AUDIT_BATCH: usize = 256;
/// Connections to the admin port at a time: a scraper and a few probes.
pub(crate) const MAX_ADMIN: usize = 16;
/// One of them sends its request within this time.
pub(crate) const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// With so many headers at most.
pub(crate) const ADMIN_HEADERS: usize = 32;
