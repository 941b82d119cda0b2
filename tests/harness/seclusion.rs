//! As root what runs an sshd lives in a mount namespace of its own: sshd wants a user and a folder that the machine may
//! not have, and neither its login records nor the user's start-up files belong into a test.

use anyhow::{Context, Result, bail, ensure};
use std::{env, fs, os::unix::fs::PermissionsExt, os::unix::process::CommandExt, path::Path, process::Command};

/// Set inside.
const MARK: &str = "DRAWBRIDGE_SECLUDED";
/// A user id that no distribution gives away.
const SSHD: &str = "sshd:*:64001:65534::/run/sshd:/usr/sbin/nologin";
const MOTD: &str = "The message of the day.\n";

/// Lays the namespace out; the arguments are the folder with our files, then what to run.
const ENTER: &str = r#"
mount --bind "$1/passwd" /etc/passwd
test ! -e /etc/shadow || mount --bind "$1/shadow" /etc/shadow
test ! -e /etc/motd || mount --bind "$1/motd" /etc/motd
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
mount -t tmpfs -o mode=755 tmpfs /var/log
: > /var/log/lastlog
shift
exec "$@""#;

/// Before that, where the network is to be its own too: only the machine's loopback, with the congestion control that most
/// machines come with.
const OWN_NETWORK: &str = r#"
ip link set lo up
for to in 127.0.0.0/8 127.0.0.1; do
    ip route replace local $to dev lo table local proto kernel scope host src 127.0.0.1 congctl cubic
done
"#;

/// The network that is seen inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The machine's.
    Machine,
    /// Nothing but a loopback.
    Own,
}

impl Network {
    const fn namespaces(self) -> &'static [&'static str] {
        match self {
            Self::Machine => &["--mount"],
            Self::Own => &["--mount", "--net"],
        }
    }
}

/// Whether this process is the one inside.
pub fn is_inside() -> bool {
    env::var_os(MARK).is_some()
}

/// Fails where this machine has no such place and needs one; an ordinary user needs none: sshd separates no privileges then, and
/// login records are out of its reach.
pub fn require(network: Network) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let probe =
        Command::new("unshare").args(network.namespaces()).arg("true").output().context("unshare (util-linux) is missing")?;
    ensure!(
        probe.status.success(),
        "root may not make a mount namespace here ({}): give this container CAP_SYS_ADMIN, or run the tests as an ordinary user",
        String::from_utf8_lossy(&probe.stderr).trim()
    );
    Ok(())
}

/// Starts this program again inside, with files in `dir`, and `network`; comes back only where it has to stay outside, which is as an
/// ordinary user.
pub fn enter(dir: &Path, network: Network) -> Result<()> {
    if is_inside() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    require(network)?;
    let enter = match network {
        Network::Machine => ENTER.to_owned(),
        Network::Own => format!("{OWN_NETWORK}{ENTER}"),
    };
    furnish(dir)?;
    let mut inside = Command::new("unshare");
    inside.args(network.namespaces()).args(["--propagation", "private", "--", "sh", "-euc", &enter, "sh"]).arg(dir);
    inside.arg(env::current_exe()?).args(env::args_os().skip(1)).env(MARK, "1");
    bail!("cannot go on in a mount namespace: {}", inside.exec());
}

/// The files that are seen inside: root's home is an empty folder, and nobody is locked.
fn furnish(dir: &Path) -> Result<()> {
    let home = dir.join("home");
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    let passwd = passwd(&fs::read_to_string("/etc/passwd")?, &home);
    fs::write(dir.join("shadow"), shadow(&passwd))?;
    fs::set_permissions(dir.join("shadow"), fs::Permissions::from_mode(0o600))?;
    fs::write(dir.join("passwd"), passwd)?;
    fs::write(dir.join("motd"), MOTD).context("cannot write the message of the day")
}

fn passwd(machine: &str, home: &Path) -> String {
    let root = |line: &str| {
        let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
        if let (Some("0"), Some(field)) = (fields.get(2).cloned().as_deref(), fields.get_mut(5)) {
            *field = home.display().to_string();
        }
        fields.join(":")
    };
    let others = machine.lines().filter(|line| !line.starts_with("sshd:")).map(root);
    others.chain([SSHD.to_owned()]).map(|line| line + "\n").collect()
}

fn shadow(passwd: &str) -> String {
    passwd.lines().filter_map(|line| line.split(':').next()).map(|name| format!("{name}:*:19000:0:99999:7:::\n")).collect()
}
