//! Every bound of the SFTP server, with its reason.

/// Largest message, its length not counted; OpenSSH's number, announced to clients that ask.
pub(super) const MESSAGE: u32 = 256 * 1024;
/// Largest piece read or written by one request: a message less its header, in OpenSSH's way of counting.
pub(super) const PIECE: u32 = MESSAGE - 1024;
/// Largest input looked at ahead of need: hundreds of small requests in one call, and little to copy of a large one.
pub(super) const INPUT_BUFFER: usize = 8 * 1024;
/// Small answers gathered for one call; larger ones are written as they are.
pub(super) const OUTPUT_BUFFER: usize = 16 * 1024;
/// Answers that wait for the client, in bytes; work stops above it.
pub(super) const OUTBOX: usize = 1 << 20;

/// Open files and folders, below what the process may open: many times what clients use, and little memory.
pub(super) const HANDLES: usize = 4096;
/// Descriptors that are no handles: standard input and output twice, and one of an operation in each lane.
pub(super) const DESCRIPTORS: usize = 16;

/// Threads for requests on open files: as many slow files do not wait for one another.
pub(super) const LANES: usize = 4;
/// Requests taken from the client and not answered; at most 8 MiB of data to be written.
pub(super) const IN_FLIGHT: usize = 32;

/// A listing's message is closed when it is this full: some two hundred entries, and inside the 34,000 bytes
/// that any client has to take (draft-ietf-secsh-filexfer-02 section 3).
pub(super) const LISTING: usize = 32_000;
/// Names of users and groups remembered in listings.
pub(super) const OWNERS: usize = 4096;
/// Bytes copied at once where the kernel does not copy by itself.
pub(super) const COPY: usize = 256 * 1024;
/// Bytes of an answer in which names of users and groups are told; the rest of the list is told as nameless.
pub(super) const NAMES: usize = 200 * 1024;
/// Links followed in one path; the kernel's number, so that what can be opened can be resolved.
pub(super) const LINKS: usize = 40;
/// Bytes of a path; the kernel's number.
pub(super) const PATH: usize = 4096;
