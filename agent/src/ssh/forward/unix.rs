//! Unix sockets in the name of a session's account: the only place that makes or opens them.

use super::denied::Denied;
use crate::ssh::{account::Account, limits};
use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, RawMode, Uid, chownat, fchmod, lstat},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

/// sshd's `StreamLocalBindMask` of 0177, said the other way round.
const OWNER_ALONE: RawMode = 0o600;
/// Where sshd makes the folder of its agent socket.
const AGENT_PARENT: &str = "/tmp";

/// A socket's file; removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// A path that a client may name.
pub(super) fn path(text: &str) -> Result<PathBuf, Denied> {
    // One that was no text would be another's.
    if text.len() > limits::SOCKET_PATH || text.contains(['\0', char::REPLACEMENT_CHARACTER]) {
        return Err(Denied::LongPath);
    }
    text.starts_with('/').then(|| text.into()).ok_or_else(|| Denied::relative(text))
}

/// Whether this process's own rights are the account's: with any other's, a path would open what the account may not.
pub(super) fn trusted(account: &Account) -> Result<(), Denied> {
    let own = rustix::process::geteuid().as_raw();
    (own == account.uid).then_some(()).ok_or_else(|| Denied::Account(account.name.clone()))
}

/// A connection to the socket at `path`.
pub(super) async fn connect(account: &Account, path: &Path) -> Result<UnixStream, Denied> {
    trusted(account)?;
    Ok(UnixStream::connect(path).await?)
}

/// A listening socket at `path`, for the account alone; `unlink` lets it take another socket's place.
pub(super) fn listener(account: &Account, path: &Path, unlink: bool) -> Result<(UnixListener, Claim), Denied> {
    trusted(account)?;
    if unlink && lstat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket) {
        fs::remove_file(path)?;
    }
    let listener = bound(path)?;
    Ok((listener, Claim::of(path)?))
}

/// A listening socket for an SSH agent, in a folder that only the account enters.
pub(super) fn agent(account: &Account) -> Result<(UnixListener, TempDir, PathBuf), Denied> {
    let private = fs::Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("ssh-").rand_bytes(10).permissions(private).tempdir_in(AGENT_PARENT)?;
    let path = folder.path().join(format!("agent.{}", std::process::id()));
    let listener = bound(&path)?;
    if trusted(account).is_err() {
        let (uid, gid) = (Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(account.gid)));
        // The socket first: once the folder is the account's, what is in it may be anything.
        chownat(CWD, &path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        chownat(CWD, folder.path(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok((listener, folder, path))
}

fn bound(path: &Path) -> io::Result<UnixListener> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // Linux gives the file the socket's own mode, so that there is no moment in which others may connect; `umask` would
    // do the same for every thread of the process.
    fchmod(&socket, Mode::from_raw_mode(OWNER_ALONE))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, limits::LISTEN_BACKLOG)?;
    UnixListener::from_std(socket.into())
}

impl Claim {
    fn of(path: &Path) -> io::Result<Self> {
        let stat = lstat(path)?;
        Ok(Self { path: path.to_owned(), device: stat.st_dev, inode: stat.st_ino })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if lstat(&self.path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (self.device, self.inode)) {
            // The folder may have been closed to us since; then the file stays, as sshd's always does.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::stat;

    fn own() -> Account {
        Account::current()
    }

    fn mode(path: &Path) -> u32 {
        stat(path).unwrap().st_mode & 0o7777
    }

    #[test]
    fn paths_are_absolute_and_fit_the_kernels_field() {
        assert_eq!(path("/run/x"), Ok("/run/x".into()));
        assert_eq!(path("run/x"), Err(Denied::Relative("run/x".into())));
        assert_eq!(path(""), Err(Denied::Relative(String::new())));
        assert!(path(&format!("/{}", "x".repeat(106))).is_ok());
        assert_eq!(path(&format!("/{}", "x".repeat(107))), Err(Denied::LongPath));
        assert_eq!(path("/a\0b"), Err(Denied::LongPath));
        assert_eq!(path("/a\u{fffd}b"), Err(Denied::LongPath));
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_goes_with_its_claim() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        let (_listener, claim) = listener(&own(), &path, false).unwrap();
        assert_eq!(mode(&path), OWNER_ALONE);
        connect(&own(), &path).await.unwrap();
        drop(claim);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_there_stays_unless_it_may_be_replaced() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        let (_first, claim) = listener(&own(), &path, false).unwrap();
        assert_eq!(listener(&own(), &path, false).unwrap_err().to_string(), "Address already in use");
        let (_second, _its) = listener(&own(), &path, true).unwrap();
        drop(claim);
        assert!(path.exists(), "the first claim removed the second's socket");

        let file = folder.path().join("f");
        fs::write(&file, "kept").unwrap();
        assert!(listener(&own(), &file, true).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"kept");
    }

    #[tokio::test]
    async fn rights_of_another_account_are_not_lent() {
        let other = Account { uid: own().uid + 1, name: "other".into(), ..own() };
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        assert_eq!(listener(&other, &path, false).unwrap_err(), Denied::Account("other".into()));
        assert_eq!(connect(&other, &path).await.unwrap_err(), Denied::Account("other".into()));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_agents_socket_is_in_a_folder_of_its_own() {
        let (_listener, folder, path) = agent(&own()).unwrap();
        assert_eq!((mode(folder.path()), mode(&path)), (0o700, OWNER_ALONE));
        assert!(path.starts_with(folder.path()));
        drop(folder);
        assert!(!path.exists());
    }
}
