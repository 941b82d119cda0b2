//! Every bound of the agent outside its SSH server, with its reason.

use drawbridge_shared::native::quic::TUNNEL_WINDOW;
use std::{ops::Range, time::Duration};

/// Tunnels that are kept: to the home daemon, and two that take over from it, be they other daemons' or its own.
pub(crate) const MAX_TUNNELS: usize = 3;
/// A daemon answers the first packet within this time, or the next address is tried.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// What one transport has over the other before that starts beside it: a healthy QUIC handshake across an ocean fits.
pub(crate) const TRANSPORT_HEAD_START: Duration = Duration::from_millis(300);
/// The same between two names of one daemon, each with its transports and its handshake.
pub(crate) const NAME_HEAD_START: Duration = Duration::from_secs(1);
/// The same between two addresses of one name (RFC 8305 section 5).
pub(crate) const ADDRESS_HEAD_START: Duration = Duration::from_millis(250);
/// Between tries of QUIC while WebSocket serves: from, doubling, to.
pub(crate) const QUIC_PROBES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// A tunnel that another took over from, or that its daemon drains, still takes the streams that were on their way; longer
/// than a daemon opens one.
pub(crate) const RETIRED: Duration = Duration::from_secs(6);
/// From an open tunnel to Welcome; the daemon may ask the edge for three seconds meanwhile. One that was killed right now says nothing.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(6);
/// Between tries, with full jitter: from, and to.
pub(crate) const DIAL_RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// The agents of a daemon that leaves call its successor within this time, thousands of them: logins wait for them meanwhile.
pub(crate) const DISMISSAL_SPREAD: Duration = Duration::from_secs(1);
/// A daemon that leaves sooner than this is called with back-off, or one that always does would be called for ever.
pub(crate) const SETTLED: Duration = Duration::from_secs(10);
/// A daemon may have us wait this long before we try again, and no longer: it is not trusted with our absence.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);
/// Another agent of this workspace took over; both coming back at once would never end.
pub(crate) const SUPERSEDED_PAUSE: Duration = Duration::from_secs(30);
/// A daemon that opens a stream says within this time what for.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A goodbye may take this long to leave; the daemon also sees the tunnel end.
pub(crate) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a daemon's word that keys changed where its last ones, ever further apart, brought nothing.
pub(crate) const HINT_GAP: Duration = Duration::from_secs(4);
/// The same where they brought something: one user who changes keys all the time has every agent of every workspace of theirs ask,
/// and all those behind one address share what it may ask. The daemon ends what was revoked meanwhile.
pub(crate) const NEWS_GAP: Duration = Duration::from_secs(2);
/// So many in a row may bring nothing, or something, before that: some changes that daemons tell of are in no document.
pub(crate) const HINTS_FREE: u32 = 8;
/// After a silence as long as this a daemon's word is heeded at once, whatever its last ones brought: who is silent in between asks the
/// edge no more often for it.
pub(crate) const HINTS_FORGOTTEN: Duration = Duration::from_secs(15);
/// Tunnels of one daemon that were left and serve what runs there; as many as a daemon keeps for a workspace. For one more the first
/// that was left ends.
pub(crate) const MAX_PARTING_PER_DAEMON: usize = 8;
/// Streams at a time that have not said what for, half of them for one daemon: all its connections may come back at once after an outage.
pub(crate) const MAX_OPENINGS: usize = MAX_STRANDS;
/// Connections that are served, told why not, or wait for a daemon to hear how they ended; half of them for one daemon.
pub(crate) const MAX_STRANDS: usize = 2048;
/// Longest time that a connection waits for its daemon to come back, whatever the daemon says.
pub(crate) const MAX_PATIENCE: Duration = Duration::from_secs(60 * 60);
/// A connection that was served to its end is over when its daemon has confirmed that, after its patience: over a tunnel that is there it
/// takes what is on its way, a window of 8 MiB at most, and a round trip.
pub(crate) const SETTLING: Duration = Duration::from_secs(30);
/// Bytes that connections keep for their daemons, and for those that do not read, all together: beyond it each has 256 KiB
/// a direction. A daemon reads so much of each at least, and leaves the rest in the tunnel where one outer connection takes no more or its
/// memory is used up: all of the rest has to fit in a tunnel's window with room to spare, or nothing else came through there, neither
/// other sessions nor signs of life. It is not the window that is larger, since that is what any agent may have a daemon hold; and a dozen
/// clients that are suspended, each with OpenSSH's 2 MiB under way, still slow nobody down.
pub(crate) const MAX_BUFFERED: usize = 24 << 20;
const _: () = assert!(MAX_BUFFERED < TUNNEL_WINDOW as usize);
/// A connection that gives up its place does so within this time.
pub(crate) const PLACE_TIMEOUT: Duration = Duration::from_secs(5);
/// Inner connections at a time, over all tunnels; half of them for one daemon, be it the only one.
pub(crate) const MAX_CONNECTIONS: usize = 1024;
/// Of one user through one daemon: the others get in however many that user has.
pub(crate) const MAX_CONNECTIONS_OF_USER: usize = MAX_CONNECTIONS / 2 - 64;
/// Connections at a time that are only told why they are not served.
pub(crate) const MAX_FAREWELLS: usize = 64;
/// How long such a client may take to hear it.
pub(crate) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a client's that are read meanwhile: its identification and its first key exchange packet fit.
pub(crate) const FAREWELL_BYTES: u64 = 64 * 1024;
/// An sshd beside the agent takes a connection within this time; well under the 15 s that VS Code gives a whole login.
pub(crate) const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// Buffer of one direction of a connection to it; one packet fits.
pub(crate) const UPSTREAM_BUFFER: usize = 36 * 1024;
/// Between tries to enrol, with full jitter: from, and to.
pub(crate) const ENROL_RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Who is enrolled already waits this long for the edge, and goes on without it: an edge that is well answers by then.
pub(crate) const ENROL_PATIENCE: Duration = Duration::from_millis(500);
/// Between tries to enrol once more where it went on without the edge, with full jitter: from, and to. Nobody waits for it.
pub(crate) const ENROL_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Who is refused for good and started again whenever it ends waits between these times first: a hundred such agents behind one
/// address ask the edge a few times a second then, and take little of what it allows that address.
pub(crate) const REFUSED_PAUSE: Range<Duration> = Duration::from_secs(30)..Duration::from_secs(60);
/// Longest `enrolled.json`: names, who enrolled, and the first host certificate.
pub(crate) const MAX_ENROLLED: u64 = 32 * 1024;
/// What could not be written to the state folder is tried again after this time.
pub(crate) const WRITTEN_AGAIN: Duration = Duration::from_secs(30);
/// A successor that fell is started again within this time, or the process before ends too.
pub(crate) const SUCCESSOR_GAP: Duration = Duration::from_secs(60);
/// At the end, sessions get this long: longer than the SSH server's own disconnect and hang-up graces together.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(8);
