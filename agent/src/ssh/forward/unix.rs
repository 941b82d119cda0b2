//! Unix sockets in the name of a session's account: the only place that makes or opens them.

use super::denied::Denied;
use crate::ssh::{account::Account, aside::soon, limits};
use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RawMode, Uid, chownat, fchmod, lstat, openat, statat, unlinkat},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect as reach, listen, socket_with},
};
use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// sshd's `StreamLocalBindMask` of 0177, said the other way round.
const OWNER_ALONE: RawMode = 0o600;
/// Where sshd makes the folder of its agent socket.
const AGENT_PARENT: &str = "/tmp";

/// A socket's file; removed when this is released or dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct Claim(Option<Mark>);

/// A file that was made here, as it can be known again.
#[derive(Debug)]
struct Mark {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// An SSH agent's socket in a folder of its own. Both go when this is dropped, and nothing else: the folder is the account's, what is
/// in it may be anything, and whoever removes it may be root.
#[derive(Debug)]
pub(super) struct Nook {
    folder: PathBuf,
    /// Named as in the folder.
    socket: Mark,
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
    (own() == account.uid).then_some(()).ok_or_else(|| Denied::Account(account.name.clone()))
}

/// The number of the agent's own account.
pub(super) fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A connection to the socket at `path`.
pub(super) async fn connect(account: &Account, path: &Path) -> Result<UnixStream, Denied> {
    trusted(account)?;
    let path = path.to_owned();
    Ok(soon(account.uid, move || connected(&path)).await??)
}

/// A listening socket at `path`, for the account alone; `unlink` lets it take another socket's place.
pub(super) async fn listener(account: &Account, path: &Path, unlink: bool) -> Result<(UnixListener, Claim), Denied> {
    trusted(account)?;
    let path = path.to_owned();
    Ok(soon(account.uid, move || claimed(&path, unlink)).await??)
}

fn claimed(path: &Path, unlink: bool) -> io::Result<(UnixListener, Claim)> {
    if unlink && lstat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket) {
        fs::remove_file(path)?;
    }
    let listener = bound(path)?;
    Ok((listener, Claim(Some(Mark::of(path)?))))
}

/// A listening socket for an SSH agent, in a folder that only the account enters.
pub(super) fn agent(account: &Account) -> Result<(UnixListener, Nook, PathBuf), Denied> {
    let private = fs::Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("ssh-").rand_bytes(10).permissions(private).tempdir_in(AGENT_PARENT)?;
    let name = PathBuf::from(format!("agent.{}", std::process::id()));
    let path = folder.path().join(&name);
    let listener = bound(&path)?;
    let socket = Mark { path: name, ..Mark::of(&path)? };
    if trusted(account).is_err() {
        let (uid, gid) = (Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(account.gid)));
        // The socket first: once the folder is the account's, what is in it may be anything.
        chownat(CWD, &path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        chownat(CWD, folder.path(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok((listener, Nook { folder: folder.keep(), socket }, path))
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

fn connected(path: &Path) -> io::Result<UnixStream> {
    let socket = socket()?;
    reach(&socket, &SocketAddrUnix::new(path)?)?;
    UnixStream::from_std(socket.into())
}

fn bound(path: &Path) -> io::Result<UnixListener> {
    let socket = socket()?;
    // Linux gives the file the socket's own mode, so that there is no moment in which others may connect; `umask` would
    // do the same for every thread of the process.
    fchmod(&socket, Mode::from_raw_mode(OWNER_ALONE))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, limits::LISTEN_BACKLOG)?;
    UnixListener::from_std(socket.into())
}

impl Mark {
    fn of(path: &Path) -> io::Result<Self> {
        let stat = lstat(path)?;
        Ok(Self { path: path.to_owned(), device: stat.st_dev, inode: stat.st_ino })
    }

    fn remove(&self, folder: impl AsFd) {
        let found = statat(&folder, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (self.device, self.inode)) {
            // The folder may have been closed to us since; then the file stays, as sshd's always does.
            let _ = unlinkat(&folder, &self.path, AtFlags::empty());
        }
    }
}

impl Claim {
    /// Removes the file; where its folder does not answer, it may stay.
    pub(super) async fn release(mut self) {
        if let Some(mark) = self.0.take() {
            let _stays = soon(own(), move || mark.remove(CWD)).await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(mark) = &self.0 {
            mark.remove(CWD);
        }
    }
}

impl Drop for Nook {
    fn drop(&mut self) {
        // No link in the folder's place is followed.
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(inside) = openat(CWD, &self.folder, folder, Mode::empty()) {
            self.socket.remove(inside);
        }
        // What the account has put there stays, and the folder with it.
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::stat;
    use tempfile::TempDir;

    fn account() -> Account {
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
        let (_listener, claim) = listener(&account(), &path, false).await.unwrap();
        assert_eq!(mode(&path), OWNER_ALONE);
        connect(&account(), &path).await.unwrap();
        claim.release().await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_there_stays_unless_it_may_be_replaced() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        let (_first, claim) = listener(&account(), &path, false).await.unwrap();
        assert_eq!(listener(&account(), &path, false).await.unwrap_err().to_string(), "Address already in use");
        let (_second, _its) = listener(&account(), &path, true).await.unwrap();
        drop(claim);
        assert!(path.exists(), "the first claim removed the second's socket");

        let file = folder.path().join("f");
        fs::write(&file, "kept").unwrap();
        assert!(listener(&account(), &file, true).await.is_err());
        assert_eq!(fs::read(&file).unwrap(), b"kept");
    }

    #[tokio::test]
    async fn rights_of_another_account_are_not_lent() {
        let other = Account { uid: own() + 1, name: "other".into(), ..account() };
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        assert_eq!(listener(&other, &path, false).await.unwrap_err(), Denied::Account("other".into()));
        assert_eq!(connect(&other, &path).await.unwrap_err(), Denied::Account("other".into()));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_agents_socket_is_in_a_folder_of_its_own() {
        let (_listener, nook, path) = agent(&account()).unwrap();
        let folder = path.parent().unwrap();
        assert_eq!((mode(folder), mode(&path)), (0o700, OWNER_ALONE));
        drop(nook);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn what_its_account_puts_into_an_agents_folder_is_not_removed_with_it() {
        let (_listener, nook, path) = agent(&account()).unwrap();
        let folder = path.parent().unwrap();
        fs::create_dir(folder.join("work")).unwrap();
        fs::write(folder.join("work/file"), "kept").unwrap();
        drop(nook);
        assert!(!path.exists());
        assert_eq!(fs::read(folder.join("work/file")).unwrap(), b"kept");
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn another_file_or_folder_in_the_place_of_an_agents_stays() {
        let elsewhere = TempDir::new_in(AGENT_PARENT).unwrap();
        let (_listener, nook, path) = agent(&account()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "kept").unwrap();
        drop(nook);
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();

        let (_listener, nook, path) = agent(&account()).unwrap();
        let (folder, moved) = (path.parent().unwrap(), elsewhere.path().join("moved"));
        fs::rename(folder, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, folder).unwrap();
        drop(nook);
        assert!(moved.join(path.file_name().unwrap()).exists(), "a link was followed");
        fs::remove_file(folder).unwrap();
    }
}
