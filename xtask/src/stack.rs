//! The whole system on one machine: the Worker under workerd, one daemon, an agent for each demo workspace.

mod daemon;
mod edge;
mod files;
mod known;
mod region;
mod remains;

pub use daemon::Daemon;
pub use edge::{Edge, operator_token};
pub use files::{keygen, require_ours, require_plain};
pub use region::Region;

use crate::{api::Api, build::Programs, interrupt, process::Process};
use anyhow::{Context, Result};
use drawbridge_shared::{api::WorkspaceItem, id::WorkspaceId};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Region of the demo.
const REGION: &str = "local";
/// Name of the jump host in the ssh_config.
pub const JUMP: &str = "jump";
/// Users and their workspaces.
const DEMO: [(&str, &str); 2] = [("alice", "796636"), ("bob", "lighthouse")];
/// File that says what runs.
const STACK: &str = "stack.json";
/// A part of the stack is ready within this time.
const READY: Duration = Duration::from_secs(60);

/// A running system. Dropping it stops every part.
#[derive(Debug)]
pub struct Stack {
    dir: PathBuf,
    programs: Programs,
    /// The edge.
    pub edge: Edge,
    /// The jump host.
    pub daemon: Daemon,
    /// The demo users.
    pub users: Vec<User>,
    /// The demo workspaces.
    pub workspaces: Vec<Workspace>,
}

/// A demo user with a registered key.
#[derive(Clone, Debug)]
pub struct User {
    /// User id.
    pub id: String,
    /// API token.
    pub token: String,
    /// Private key; the public one is beside it in `.pub`.
    pub key_file: PathBuf,
    /// `ssh -F` takes it: own key, own known_hosts.
    pub ssh_config: PathBuf,
}

/// A demo workspace and its agent.
#[derive(Debug)]
pub struct Workspace {
    /// Workspace id.
    pub id: String,
    /// Who may enter.
    pub members: Vec<String>,
    /// Its agent's token.
    pub token: String,
    /// Its agent's state folder.
    pub state_dir: PathBuf,
    /// Its agent.
    pub agent: Process,
}

impl Stack {
    /// Starts everything below `dir`, which is emptied first, and waits until a user can log in.
    pub fn start(root: &Path, dir: &Path, programs: Programs) -> Result<Self> {
        require_plain(dir)?;
        remains::end(dir);
        files::fresh(dir)?;
        let edge = Edge::start(root, dir)?;
        let api = edge.operator();
        let daemon = Daemon::start(&programs, dir, &edge, "local-1", &daemon_state(dir), &[])?;
        daemon.register(&api, REGION, vec![daemon.tunnel])?;
        let workspaces = DEMO.iter().map(|(user, id)| workspace(&programs, dir, &edge, REGION, id, &[user], &[]));
        let mut workspaces = workspaces.collect::<Result<Vec<_>>>()?;
        for workspace in &mut workspaces {
            workspace.connected()?;
        }
        let mut stack = Self { dir: dir.into(), programs, edge, daemon, users: Vec::new(), workspaces };
        stack.users = DEMO.iter().map(|(id, _)| stack.new_user(id)).collect::<Result<_>>()?;
        stack.write_known_hosts()?;
        Ok(stack)
    }

    /// The user of that id.
    pub fn user(&self, id: &str) -> Result<&User> {
        self.users.iter().find(|user| user.id == id).with_context(|| format!("no demo user {id}"))
    }

    /// One more user with a token, a key that is registered through the public API, and an ssh_config.
    pub fn new_user(&self, id: &str) -> Result<User> {
        let user = self.new_stranger(id)?;
        let line = fs::read_to_string(user.key_file.with_extension("pub"))?;
        self.api(&user).post("/api/ssh/keys", &json!({"publicKey": line}))?.ok()?;
        Ok(user)
    }

    /// One more user with a token, and a key that nobody knows.
    pub fn new_stranger(&self, id: &str) -> Result<User> {
        let token = mint(&self.edge.operator(), "user", id)?;
        let (key_file, ssh_config) = self.key(id)?;
        Ok(User { id: id.into(), token, key_file, ssh_config })
    }

    /// The same user with one more key, which nobody knows yet.
    pub fn new_key(&self, user: &User, name: &str) -> Result<User> {
        let (key_file, ssh_config) = self.key(name)?;
        Ok(User { key_file, ssh_config, ..user.clone() })
    }

    /// A new key called `name`, and the ssh_config that uses it.
    fn key(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        let key_file = keygen(&self.dir.join("keys").join(name), &format!("{name}@demo"))?;
        let known = [known::path(&self.dir), known::authorities(&self.dir)];
        let ssh_config = files::ssh_config(&self.dir, name, self.daemon.port, &key_file, &known)?;
        Ok((key_file, ssh_config))
    }

    /// One more workspace with its agent, connected, for as long as it is held.
    pub fn new_workspace(&self, id: &str, member: &str) -> Result<Workspace> {
        self.connected_workspace(REGION, id, &[member], &[])
    }

    fn connected_workspace(&self, region: &str, id: &str, members: &[&str], options: &[&str]) -> Result<Workspace> {
        let mut workspace = workspace(&self.programs, &self.dir, &self.edge, region, id, members, options)?;
        workspace.connected()?;
        Ok(workspace)
    }

    /// One more agent of `workspace`, started with `options` beside the usual ones; nobody waits for it.
    pub fn another_agent(&self, workspace: &Workspace, options: &[&str]) -> Result<Process> {
        let Workspace { id, token, state_dir, .. } = workspace;
        start_agent(&self.programs, &self.dir, &self.edge.url, id, token, state_dir, options)
    }

    /// An agent of the same workspace that knows nothing of `former`: it enrols, and is connected.
    pub fn newcomer(&self, former: &Workspace) -> Result<Workspace> {
        let Workspace { id, members, token, state_dir, .. } = former;
        let state_dir = state_dir.with_extension("anew");
        let agent = start_agent(&self.programs, &self.dir, &self.edge.url, id, token, &state_dir, &[])?;
        let mut workspace = Workspace { id: id.clone(), members: members.clone(), token: token.clone(), state_dir, agent };
        workspace.connected()?;
        Ok(workspace)
    }

    /// What `drawbridge-agent status` says of `workspace`.
    pub fn agent_status(&self, workspace: &Workspace) -> Result<Value> {
        let mut command = Command::new(&self.programs.agent);
        let text = files::output(command.args(["status", "--json", "--state-dir"]).arg(&workspace.state_dir))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The API as `user` calls it.
    pub fn api(&self, user: &User) -> Api {
        Api::new(&self.edge.url, &user.token)
    }

    /// The workspace of that id.
    pub fn workspace(&mut self, id: &str) -> Result<&mut Workspace> {
        self.workspaces.iter_mut().find(|workspace| workspace.id == id).with_context(|| format!("no demo workspace {id}"))
    }

    /// Starts the agent of `id` again, on its old state, and waits for its tunnel.
    pub fn restart_agent(&mut self, id: &str) -> Result<()> {
        let (dir, programs, url) = (self.dir.clone(), self.programs.clone(), self.edge.url.clone());
        let workspace = self.workspace(id)?;
        workspace.agent.kill();
        workspace.agent = start_agent(&programs, &dir, &url, id, &workspace.token, &workspace.state_dir, &[])?;
        workspace.connected()
    }

    /// Starts the daemon again on its old state and its old ports; agents come back by themselves.
    pub fn restart_daemon(&mut self) -> Result<()> {
        self.restart_daemon_towards(&self.edge.url.clone())
    }

    /// The same with the edge at another address.
    pub fn restart_daemon_towards(&mut self, edge: &str) -> Result<()> {
        self.daemon.restart(&self.programs, &self.dir, edge)
    }

    /// The stack as scripts see it.
    pub fn describe(&self) -> Value {
        let user =
            |user: &User| json!({"id": user.id, "token": user.token, "keyFile": user.key_file, "sshConfig": user.ssh_config});
        let workspace = |workspace: &Workspace| {
            let agent = json!({"pid": workspace.agent.pid(), "stateDir": workspace.state_dir, "token": workspace.token});
            json!({"id": workspace.id, "members": workspace.members, "agent": agent})
        };
        json!({
            "edge": {"url": self.edge.url, "operatorToken": self.edge.operator_token, "pid": self.edge.process.pid()},
            "jump": {"host": "127.0.0.1", "port": self.daemon.port, "pid": self.daemon.process.pid()},
            "knownHosts": known::path(&self.dir),
            "trustKeys": [self.edge.trust_key],
            "users": self.users.iter().map(user).collect::<Vec<_>>(),
            "workspaces": self.workspaces.iter().map(workspace).collect::<Vec<_>>(),
        })
    }

    /// Writes [`Self::describe`] to `stack.json`, which a signal removes.
    pub fn announce(&self) -> Result<PathBuf> {
        let path = self.dir.join(STACK);
        interrupt::removes(path.clone());
        let draft = self.dir.join("stack.json.new");
        fs::write(&draft, serde_json::to_string_pretty(&self.describe())?)?;
        fs::rename(draft, &path)?;
        Ok(path)
    }

    /// Where the stack's files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn write_known_hosts(&self) -> Result<()> {
        let api = self.edge.operator();
        let jump = fs::read_to_string(daemon_state(&self.dir).join("identity.pub"))?;
        let keys = self.workspaces.iter().map(|workspace| host_key(&api, &workspace.id)).collect::<Result<Vec<_>>>()?;
        let host_ca = self.users.iter().map(|user| known_hosts(&self.api(user))).collect::<Result<String>>()?;
        known::write(&self.dir, &host_ca, self.daemon.port, &jump, &keys)
    }
}

impl Drop for Stack {
    /// Agents first, so that none complains about the daemon.
    fn drop(&mut self) {
        let _ = fs::remove_file(self.dir.join(STACK));
        for workspace in &self.workspaces {
            workspace.agent.signal(Signal::TERM);
        }
        self.workspaces.clear();
        self.daemon.process.stop();
        self.edge.process.stop();
    }
}

impl User {
    /// `ssh -J` as this user, up to the destination, which is the caller's.
    pub fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&self.ssh_config).args(["-J", JUMP]);
        ssh
    }
}

impl Workspace {
    /// Waits until its agent has a tunnel.
    fn connected(&mut self) -> Result<()> {
        let state = self.state_dir.clone();
        let pid = self.agent.pid();
        self.agent.until("its tunnel", READY, || is_connected(&status(&state, pid)?))
    }
}

/// What the agent process `pid` posted last in the state folder `state`.
pub fn status(state: &Path, pid: u32) -> Option<Value> {
    let posted = ["status.0.json", "status.1.json"].into_iter().filter_map(|file| fs::read_to_string(state.join(file)).ok());
    posted.filter_map(|text| serde_json::from_str(&text).ok()).find(|status: &Value| status["pid"] == pid)
}

fn is_connected(status: &Value) -> Option<()> {
    status["tunnels"].as_object()?.values().any(|tunnel| tunnel["state"] == "connected").then_some(())
}

fn daemon_state(dir: &Path) -> PathBuf {
    dir.join("daemon")
}

/// A workspace called `id` in `region` with `members`, and its agent, started with `options` beside the usual ones.
fn workspace(
    programs: &Programs,
    dir: &Path,
    edge: &Edge,
    region: &str,
    id: &str,
    members: &[&str],
    options: &[&str],
) -> Result<Workspace> {
    let api = edge.operator();
    api.put(&format!("/api/operator/workspaces/{id}"), &json!({"region": region}))?.ok()?;
    for member in members {
        api.put(&format!("/api/operator/workspaces/{id}/members/{member}"), &json!({}))?.ok()?;
    }
    let token = mint(&api, "agent", id)?;
    let state_dir = dir.join("agents").join(id);
    let agent = start_agent(programs, dir, &edge.url, id, &token, &state_dir, options)?;
    let members = members.iter().map(|member| (*member).to_owned()).collect();
    Ok(Workspace { id: id.into(), members, token, state_dir, agent })
}

fn start_agent(
    programs: &Programs,
    dir: &Path,
    edge: &str,
    id: &str,
    token: &str,
    state: &Path,
    options: &[&str],
) -> Result<Process> {
    let mut command = Command::new(&programs.agent);
    let edge = (!options.contains(&"--edge")).then_some(["--edge", edge]);
    command.args(["run", "--poll-seconds", "1"]).args(edge.into_iter().flatten()).args(options);
    command.arg("--trust").arg(files::trust(dir)).arg("--state-dir").arg(state).env("DRAWBRIDGE_TOKEN", token);
    Process::start(&format!("the agent of {id}"), &mut command, &files::log(dir, &format!("agent-{id}")), Signal::TERM)
}

/// A new token; the only time that it is shown.
pub fn mint(api: &Api, scope: &str, subject: &str) -> Result<String> {
    let minted: Value = api.post("/api/operator/tokens", &json!({"scope": scope, "subject": subject}))?.json()?;
    Ok(minted["token"].as_str().context("the edge minted no token")?.to_owned())
}

fn known_hosts(api: &Api) -> Result<String> {
    let answer = api.get("/api/ssh/known_hosts")?;
    answer.ok()?;
    Ok(answer.body)
}

fn host_key(api: &Api, id: &str) -> Result<(WorkspaceId, String)> {
    let workspace: WorkspaceItem = api.get(&format!("/api/operator/workspaces/{id}"))?.json()?;
    Ok((workspace.id, workspace.agent_key.context("the workspace has no agent key yet")?))
}
