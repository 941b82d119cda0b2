//! What the router asks of the Ledger, and what it gets: one question, one answer.

use crate::refusal::Refusal;
use drawbridge_shared::{
    api::{DaemonItem, Enrolled, KeyItem, Page, TokenItem, WorkspaceItem},
    fingerprint::Fingerprint,
    id::{DaemonId, SnapshotSeq, UserId, WorkspaceId},
    snapshot::BlobHash,
    time::Timestamp,
    token::{Scope, TokenHash},
};

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
    },
    /// All keys.
    ListKeys,
    /// Removes a key.
    RemoveKey(Fingerprint),
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
    /// Lets a user in.
    PutMember(WorkspaceId, UserId),
    /// Keeps a user out.
    DeleteMember(WorkspaceId, UserId),
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
    /// Removes a daemon.
    DeleteDaemon(DaemonId),
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
    },
    /// The signed authorized-keys document.
    Document {
        /// The `If-None-Match` header.
        held: Option<String>,
    },
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
    /// The agent's key is registered.
    Enrolled(Enrolled),
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
            Self::Snapshot(_) => Scope::Daemon,
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

command!(User(UserCommand), Operator(OperatorCommand), Agent(AgentCommand), Snapshot(SnapshotCommand));
