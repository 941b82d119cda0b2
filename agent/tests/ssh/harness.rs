//! A workspace on a loopback port, and the `ssh` of this machine with settings of its own.

use drawbridge_agent::ssh::{Account, Accounts, Alive, Authorize, Executable, ForwardPolicy, Peer, Server};
use drawbridge_shared::{fingerprint::Fingerprint, id::UserId, revocation::Revocation};
use russh::keys::{PrivateKey, PublicKey, load_secret_key};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longer than anything here takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the account in every test.
pub(crate) const NAME: &str = "dev";

/// A served workspace; gone when dropped.
pub(crate) struct Workspace {
    dir: TempDir,
    port: u16,
    server: Server<Members>,
    members: Members,
    stop: CancellationToken,
    connections: TaskTracker,
}

/// Who may come in and stay.
#[derive(Clone)]
struct Members(watch::Sender<Vec<Fingerprint>>);

impl Authorize for Members {
    fn knows(&self, key: &Fingerprint) -> Option<UserId> {
        self.0.borrow().contains(key).then(|| "alice".parse().unwrap())
    }

    async fn refresh(&self) {}

    async fn revoked(&self, key: &Fingerprint, _: &UserId) -> Revocation {
        self.0.subscribe().wait_for(|members| !members.contains(key)).await.unwrap();
        Revocation::Removed
    }
}

impl Workspace {
    /// A workspace with a home, bash, and one member whose key `ssh` uses.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with a changed account.
    pub(crate) async fn with(change: impl FnOnce(&mut Account)) -> Self {
        Self::build(Alive::default(), ForwardPolicy::default(), |_, mut account| {
            change(&mut account);
            account.into()
        })
        .await
    }

    /// The same with another policy for forwarding.
    pub(crate) async fn forwarding(policy: ForwardPolicy) -> Self {
        Self::build(Alive::default(), policy, |_, account| account.into()).await
    }

    /// The same with accounts made of its folder and its usual account.
    pub(crate) async fn serving(alive: Alive, accounts: impl FnOnce(&Path, Account) -> Accounts) -> Self {
        Self::build(alive, ForwardPolicy::default(), accounts).await
    }

    async fn build(alive: Alive, policy: ForwardPolicy, accounts: impl FnOnce(&Path, Account) -> Accounts) -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["home", "etc", "run"] {
            fs::create_dir(at(folder)).unwrap();
        }
        let (host, member) = (key(&at("host")), key(&at("member")));
        key(&at("stranger"));
        let account = Account { name: NAME.into(), home: at("home"), shell: "/bin/bash".into(), ..Account::current() };

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        write_settings(dir.path(), port, host.public_key());
        let members = Members(watch::Sender::new(vec![Fingerprint::of(member.public_key())]));
        let agent = Executable::at(Path::new(env!("CARGO_BIN_EXE_drawbridge-agent"))).unwrap();
        let server = Server::new(host, accounts(dir.path(), account), alive, members.clone()).with_files_below(dir.path());
        let server = server.with_agent(agent).with_forwarding(policy);
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        connections.spawn(accept(listener, server.clone(), stop.clone()));
        Self { dir, port, server, members, stop, connections }
    }

    /// A file or folder of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The home folder of the account.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.path("home").join(name)
    }

    /// The server itself.
    pub(crate) fn server(&self) -> &Server<impl Authorize + use<>> {
        &self.server
    }

    /// Lets the stranger in too.
    pub(crate) fn befriend(&self) {
        let stranger = load_secret_key(self.path("stranger"), None).unwrap();
        self.members.0.send_modify(|members| members.push(Fingerprint::of(stranger.public_key())));
    }

    /// Takes the member's key away.
    pub(crate) fn revoke(&self) {
        let member = load_secret_key(self.path("member"), None).unwrap();
        self.members.0.send_modify(|members| members.retain(|key| *key != Fingerprint::of(member.public_key())));
    }

    /// Where the server listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `ssh <options>` with this workspace's settings; the target is still to be named.
    pub(crate) fn ssh(&self, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.path("config")).args(options);
        command.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    /// A master connection that the others share from now on.
    pub(crate) async fn master(&self) -> Child {
        let master = self.ssh(&["-M", "-N"]).arg("ws").spawn().unwrap();
        until("a master connection", || self.path("master").exists()).await;
        master
    }

    /// Runs `line` in the workspace.
    pub(crate) async fn run(&self, line: &str) -> Output {
        self.run_with(&[], line, &[]).await
    }

    /// The same with options for `ssh` and bytes for its standard input.
    pub(crate) async fn run_with(&self, options: &[&str], line: &str, input: &[u8]) -> Output {
        let mut child = self.ssh(options).arg("ws").arg(line).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feed = async move {
            let _closed = stdin.write_all(input).await;
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        timeout(PATIENCE, both).await.expect("ssh came to no end").unwrap()
    }

    /// `ssh -O <command>` to the shared connection.
    pub(crate) async fn control(&self, command: &str, options: &[&str]) -> Output {
        self.ssh(&["-O", command]).args(options).arg("ws").output().await.unwrap()
    }

    /// Stops serving, and waits until every connection has ended.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.connections.close();
        timeout(PATIENCE, self.connections.wait()).await.expect("a connection came to no end");
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits for a child of the test.
pub(crate) async fn ends(child: Child) -> Output {
    timeout(PATIENCE, child.wait_with_output()).await.expect("the program came to no end").unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a file with a whole line in it, and reads it.
pub(crate) async fn line_in(file: &Path) -> String {
    until(&format!("a line in {}", file.display()), || fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))).await;
    fs::read_to_string(file).unwrap().trim().to_owned()
}

/// Whether process `pid` exists and is no zombie.
pub(crate) fn lives(pid: &str) -> bool {
    state(pid).is_some_and(|state| state != "Z")
}

/// Waits for the end of all that have ended and were not waited for. Other tests of this process have some too, each for a moment.
pub(crate) async fn no_zombie_stays() {
    let left = zombies();
    let start = Instant::now();
    while zombies().iter().any(|pid| left.contains(pid)) {
        assert!(start.elapsed() < PATIENCE, "never: no zombies");
        // tokio reaps those that another test dropped when it hears of a child's end, which may have been the last.
        assert!(Command::new("true").status().await.unwrap().success());
    }
}

/// Children of this process that have ended and were not reaped.
fn zombies() -> Vec<String> {
    let own = std::process::id().to_string();
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    all.filter(|pid| stat(pid).is_some_and(|fields| fields[0] == "Z" && fields[1] == own)).collect()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Bytes that do not repeat and do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length.div_ceil(8)).flatten().take(length).collect()
}

/// The children of process `pid`, which has one thread.
pub(crate) fn children(pid: &str) -> Vec<String> {
    let all = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    all.split_whitespace().map(str::to_owned).collect()
}

/// In which state process `pid` is.
pub(crate) fn state(pid: &str) -> Option<String> {
    stat(pid).map(|fields| fields[0].clone())
}

/// The fields of `/proc/<pid>/stat` behind the name: state, parent, ...
fn stat(pid: &str) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect())
}

async fn accept(listener: TcpListener, server: Server<Members>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Some(Ok((stream, client))) = stop.run_until_cancelled(listener.accept()).await {
        stream.set_nodelay(true).unwrap();
        let (server, stop) = (server.clone(), stop.clone());
        connections.spawn(async move { server.serve(stream, Peer::new(client), stop).await });
    }
    connections.join_all().await;
}

fn key(path: &Path) -> PrivateKey {
    let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
    load_secret_key(path, None).unwrap()
}

fn write_settings(dir: &Path, port: u16, host: &PublicKey) {
    let at = dir.display();
    let config = format!(
        "Host ws\n HostName 127.0.0.1\n Port {port}\n User {NAME}\n IdentityFile {at}/member\n IdentitiesOnly yes\n \
         UserKnownHostsFile {at}/known_hosts\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n \
         BatchMode yes\n LogLevel ERROR\n ControlPath {at}/master\n"
    );
    fs::write(dir.join("config"), config).unwrap();
    fs::write(dir.join("known_hosts"), format!("[127.0.0.1]:{port} {}\n", host.to_openssh().unwrap())).unwrap();
}
