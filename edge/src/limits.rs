//! Every bound of the edge, with its reason.

use drawbridge_shared::id::MAX_USER_ID;
use std::time::Duration;

/// Keys a user may have: enough for many machines, few enough to list in one answer.
pub const KEYS_PER_USER: usize = 100;
/// Members of one workspace: they stand in one shard and in one agent's document.
pub const MEMBERS_PER_WORKSPACE: usize = 1000;
/// Tokens that one subject may hold at once: more is a leak in whoever mints them.
pub const TOKENS_PER_SUBJECT: usize = 100;
/// Regions: each may stand in a user's known_hosts.
pub const REGIONS: usize = 256;
/// Workspaces of one user that `known_hosts` and `config` name: both stay files that a person can read.
pub const NAMED_WORKSPACES: usize = 1000;
/// A host certificate is good for this long, and renewed long before.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far behind ours the clock of whoever checks a certificate may be.
pub const CERTIFICATE_SKEW: Duration = Duration::from_secs(60 * 60);
/// Uses of a key closer together than this are one: what is shown is minutes-fresh, and rows are not rewritten for less.
pub const USE_GRAIN: Duration = Duration::from_secs(60);
/// Longest that older agent tokens stay good beside a new one.
pub const MAX_TOKEN_GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Daemons in the directory, which is a single shard.
pub const DAEMONS: usize = 256;
/// Items in a page unless asked otherwise.
pub const PAGE: usize = 100;
/// Most items in a page: an answer stays well below a megabyte.
pub const MAX_PAGE: usize = 500;
/// A page of workspaces ends when it has named this many members.
pub const PAGE_MEMBERS: usize = 5000;
/// Longest cursor: a user's id of which every character is escaped, as [`crate::names`] does it.
pub const MAX_CURSOR: usize = 3 * MAX_USER_ID;

/// Longest value in a row: a Durable Object's SQLite takes 2 MB.
pub const MAX_ROW: usize = 1_900_000;
/// Most keys of a workspace's members together: they fit its agent's document whatever the users are called, and the Ledger
/// reads them all whenever the agent asks.
pub const DOCUMENT_KEYS: usize = 10_000;
/// Workspaces whose document's tag is remembered, at some 200 bytes: those of the agents that ask between two publishes.
pub const DOCUMENT_TAGS: usize = 20_000;
/// A document is signed anew this often: whoever polls never holds an older one.
pub const DOCUMENT_AGE: Duration = Duration::from_secs(5 * 60);

/// The manifest is signed anew this often, so that a daemon can tell silence from calm.
pub const HEARTBEAT: Duration = Duration::from_secs(5 * 60);
/// A manifest this old is signed anew by whoever reads it: the alarm was lost.
pub const OVERDUE: Duration = Duration::from_secs(6 * 60);
/// A shard is kept this long after its last manifest: daemons may be fetching it.
pub const BLOB_GRACE: Duration = Duration::from_secs(15 * 60);
/// Replaced shards that are kept take at most this much, whatever their time: a fifth of what a Durable Object may store. An import
/// into a million keys replaces 50 MB a call.
pub const GARBAGE_BYTES: u64 = 2 << 30;
/// Shards dropped in one alarm.
pub const SWEEP: usize = 100;
/// Later marks that are looked through for the same shards: what a few imports make in a quarter of an hour.
pub const SWEEP_LOOK: usize = 4000;

/// Names applied to KV in one pass: an invocation may make 1000 KV operations.
pub const APPLY_NAMES: usize = 200;
/// Bytes applied in one pass: a Worker has 128 MB of memory.
pub const APPLY_BYTES: usize = 8 * 1024 * 1024;
/// KV operations in flight: more would queue in the runtime.
pub const APPLY_PARALLEL: usize = 6;
/// Between two passes: KV takes one write a second for the same name, and each pass writes the manifest. Clocks here tell
/// whole seconds.
pub const APPLY_PACE: Duration = Duration::from_secs(2);
/// Before what an alarm had to do is tried again after it failed.
pub const STUMBLE: Duration = Duration::from_secs(10);
/// Waits after a failed pass, from and to.
pub const APPLY_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5 * 60));

/// Pages of a user's names that are asked of KV for one answer: names of keys that are gone may fill some, and show nothing.
pub const STALE_PAGES: usize = 10;

/// KV is as old as this in places: a Ledger that lost its rows does not believe it earlier.
pub const REBUILD_SETTLE: Duration = Duration::from_secs(90);
/// Names read from KV in one step of a rebuild, each by a call of its own: an invocation may make 1000.
pub const REBUILD_PAGE: u64 = 500;
/// Shards built in one step of a rebuild: at a million keys one has 200 KB.
pub const REBUILD_SHARDS: usize = 16;
/// How many publishes the lost Ledger may have made that KV never saw: at one a millisecond, a quarter of an hour.
pub const REBUILD_LEAP: u64 = 1 << 20;
/// Manifests that are published within this time are pushed as one, the last.
pub const PUSH_GATHER: Duration = Duration::from_millis(20);
/// The Ledger answers within this time, or counts as unreachable.
pub const LEDGER_PATIENCE: Duration = Duration::from_secs(10);
/// What a caller is told to wait while the Ledger is unreachable, in seconds.
pub const RETRY_AFTER: u32 = 5;
/// What a caller is told to wait who calls too often, in seconds: the platform counts by the minute.
pub const LIMIT_PAUSE: u32 = 10;
/// How long KV remembers near a caller whose token it is, in seconds, where the address is beyond its limit.
pub const TOKEN_MEMORY: u64 = 60;
/// Open feeds: one for each daemon, and room for reconnects.
pub const FEEDS: usize = 1000;
/// Largest body of an import: a thousand lines with an RSA key each.
pub const MAX_IMPORT: usize = 1024 * 1024;
/// Lines of an import.
pub const MAX_IMPORT_LINES: usize = 1000;
/// Lines of an import that are committed together, and shards of keys that they touch: at a million keys a shard has
/// 200 KB, and all that is committed is in memory at once.
pub const IMPORT_CHUNK: (usize, usize) = (250, 32);
/// Bytes of a request's body that are read to be thrown away, so that whoever sends them gets an answer.
pub const DRAIN: usize = 16 * 1024 * 1024;
