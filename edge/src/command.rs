//! What the router asks of the Ledger, and what it gets: one question, one answer.

use crate::refusal::Refusal;
use drawbridge_shared::{
    api::{DaemonItem, Enrolled, HostCertificate, KeyItem, Page, RegionItem, TokenItem, UsedKey, UserWorkspace, WorkspaceItem},
    fingerprint::Fingerprint,
    id::{DaemonId, SnapshotSeq, UserId, WorkspaceId},
    snapshot::BlobHash,
    time::Timestamp,
    token::{Scope, TokenHash},
};
use std::time::Duration;

/// A question: who asks, and what.
#[derive(Clone, Debug)]
pub struct Call {
    /// Of the bearer token.
    pub token: TokenHash,
    /// What is asked.
    pub command: Command,
}

/// The Ledger's answer.
pub type Reply = Result<Outcome, Refusal>;

/// What may be asked, by scope.
#[derive(Clone, Debug)]
pub enum Command {
    /// By a user, about their own keys.
    User(UserCommand),
    /// By an operator.
    Operator(OperatorCommand),
    /// By an agent, about its own workspace.
    Agent(AgentCommand),
    /// By a daemon, about itself.
    Daemon(DaemonCommand),
    /// By a daemon or an operator.
    Snapshot(SnapshotCommand),
}

/// A user's questions.
#[derive(Clone, Debug)]
pub enum UserCommand {
    /// Registers a key.
    AddKey {
        /// The key's.
        fingerprint: Fingerprint,
        /// `<type> <base64>`
        line: String,
        /// May be empty.
        title: String,
        /// Until when it may log in, if not until removed.
        expires_at: Option<Timestamp>,
    },
    /// All keys.
    ListKeys,
    /// Removes a key.
    RemoveKey(Fingerprint),
    /// A page of the workspaces that they may enter.
    ListWorkspaces(PageOf),
    /// All that their `ssh` has to know, for one of its files.
    Access(File),
}

/// An operator's questions.
#[derive(Clone, Debug)]
pub enum OperatorCommand {
    /// Makes a token known.
    PutToken {
        /// Of the token.
        hash: TokenHash,
        /// What its bearer may do.
        scope: Scope,
        /// Fits the scope.
        subject: String,
        /// Until when, if not until revoked.
        expires_at: Option<Timestamp>,
    },
    /// A page of tokens.
    ListTokens(PageOf),
    /// Makes a token unknown, at once.
    RevokeToken(TokenHash),
    /// Creates a workspace, or moves it.
    PutWorkspace {
        /// Its name.
        id: WorkspaceId,
        /// Where it runs.
        region: String,
    },
    /// A page of workspaces.
    ListWorkspaces(PageOf),
    /// One workspace.
    GetWorkspace(WorkspaceId),
    /// Removes a workspace with its members and its agent's tokens.
    DeleteWorkspace(WorkspaceId),
    /// Makes an agent token known, and ends the older ones.
    RotateAgentToken {
        /// Whose.
        workspace: WorkspaceId,
        /// Of the new token.
        hash: TokenHash,
        /// How long the older ones stay good.
        grace: Duration,
    },
    /// A page of who may enter.
    ListMembers(WorkspaceId, PageOf),
    /// Lets a user in.
    PutMember(WorkspaceId, UserId),
    /// Keeps a user out.
    DeleteMember(WorkspaceId, UserId),
    /// Says whether a workspace sleeps.
    SetAsleep(WorkspaceId, bool),
    /// Lets another agent enrol.
    ResetAgentKey(WorkspaceId),
    /// Registers a daemon, or changes it.
    PutDaemon {
        /// Its name.
        id: DaemonId,
        /// `ssh-ed25519 AAAA...`
        identity: String,
        /// Where it runs.
        region: String,
        /// `host:port`, best first.
        addresses: Vec<String>,
    },
    /// A page of daemons.
    ListDaemons(PageOf),
    /// Removes a daemon with its tokens.
    DeleteDaemon(DaemonId),
    /// Says how a region's daemons are reached by SSH.
    PutRegion {
        /// Its name.
        region: String,
        /// Names of its jump host, the one to show first.
        hosts: Vec<String>,
        /// Its SSH port.
        port: u16,
    },
    /// A page of regions.
    ListRegions(PageOf),
    /// Forgets how a region is reached.
    DeleteRegion(String),
    /// Many facts at once, each for itself.
    Import(Vec<ImportItem>),
}

/// One fact of an import.
#[derive(Clone, Debug)]
pub enum ImportItem {
    /// A user's key.
    Key {
        /// Whose it is.
        user: UserId,
        /// The key's.
        fingerprint: Fingerprint,
        /// `<type> <base64>`
        line: String,
        /// May be empty.
        title: String,
        /// Until when it may log in.
        expires_at: Option<Timestamp>,
    },
    /// A workspace.
    Workspace {
        /// Its name.
        id: WorkspaceId,
        /// Where it runs.
        region: String,
    },
    /// A member.
    Member(WorkspaceId, UserId),
}

/// Which page of a list.
#[derive(Clone, Debug)]
pub struct PageOf {
    /// The last id of the page before.
    pub cursor: Option<String>,
    /// Most items.
    pub limit: usize,
}

/// An agent's questions.
#[derive(Clone, Debug)]
pub enum AgentCommand {
    /// Registers the workspace key.
    Enrol {
        /// `ssh-ed25519 AAAA...`
        key: String,
        /// Armored SSHSIG by that key over the token's id.
        proof: String,
        /// Randomness for the certificate.
        nonce: [u8; 32],
    },
    /// A certificate of the workspace key.
    HostCertificate {
        /// Randomness for it.
        nonce: [u8; 32],
    },
    /// The signed authorized-keys document.
    Document {
        /// The `If-None-Match` header.
        held: Option<String>,
    },
}

/// A daemon's questions and reports.
#[derive(Clone, Debug)]
pub enum DaemonCommand {
    /// A certificate of its identity.
    HostCertificate {
        /// Randomness for it.
        nonce: [u8; 32],
    },
    /// Keys that logged in.
    Used(Vec<UsedKey>),
}

/// Questions about the snapshot.
#[derive(Clone, Debug)]
pub enum SnapshotCommand {
    /// The signed manifest.
    Manifest {
        /// The `If-None-Match` header.
        held: Option<String>,
    },
    /// One shard.
    Blob(BlobHash),
}

/// What a granted question brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// A new key.
    Key(KeyItem),
    /// A user's keys.
    Keys(Vec<KeyItem>),
    /// A new token.
    Token(TokenItem),
    /// Tokens.
    Tokens(Page<TokenItem>),
    /// A workspace.
    Workspace(Put<WorkspaceItem>),
    /// Workspaces.
    Workspaces(Page<WorkspaceItem>),
    /// A daemon.
    Daemon(Put<DaemonItem>),
    /// Daemons.
    Daemons(Page<DaemonItem>),
    /// A page of members.
    Members(Page<UserId>),
    /// A user's workspaces.
    UserWorkspaces(Page<UserWorkspace>),
    /// All that a user's `ssh` has to know, for one of its files.
    Access(Access, File),
    /// A region.
    Region(Put<RegionItem>),
    /// Regions.
    Regions(Page<RegionItem>),
    /// What became of each item: whether it changed anything, or why it was refused.
    Imported(Vec<Result<bool, Refusal>>),
    /// The agent's key is registered.
    Enrolled(Enrolled),
    /// A certified host key.
    HostCertificate(HostCertificate),
    /// A signed document, for an agent.
    Document {
        /// With its signature.
        text: String,
        /// What to send as `If-None-Match`.
        etag: String,
    },
    /// A signed manifest.
    Manifest {
        /// With its signature.
        text: String,
        /// Its number.
        seq: SnapshotSeq,
    },
    /// What the caller holds is current.
    Unchanged {
        /// What to send as `If-None-Match`.
        etag: String,
    },
    /// A shard's bytes.
    Blob(Vec<u8>),
}

/// One of OpenSSH's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// `ssh_config(5)`
    Config,
    /// `known_hosts`, `sshd(8)`
    KnownHosts,
}

/// All that a user's `ssh` has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Their workspaces, each with its region's name.
    pub workspaces: Vec<(WorkspaceId, String)>,
    /// All regions.
    pub regions: Vec<RegionItem>,
    /// Public lines of the host CA.
    pub host_ca: Vec<String>,
}

/// What is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put<T> {
    /// As it is.
    pub item: T,
    /// Whether it was not there before.
    pub created: bool,
}

impl Command {
    /// Which scope it takes.
    pub const fn scope(&self) -> Scope {
        match self {
            Self::User(_) => Scope::User,
            Self::Operator(_) => Scope::Operator,
            Self::Agent(_) => Scope::Agent,
            Self::Daemon(_) | Self::Snapshot(_) => Scope::Daemon,
        }
    }
}

macro_rules! command {
    ($($variant:ident($inner:ident)),*) => {$(
        impl From<$inner> for Command {
            fn from(command: $inner) -> Self {
                Self::$variant(command)
            }
        }
    )*};
}

command!(User(UserCommand), Operator(OperatorCommand), Agent(AgentCommand), Daemon(DaemonCommand), Snapshot(SnapshotCommand));
