//! Becoming another account, in a child between fork and exec: groups, group, user, and no way back.

use super::account::Account;
use rustix::{
    fs::{Mode, fchown},
    io::Errno,
    process::{Gid, Uid, getegid, geteuid, getgid, getuid, umask},
    stdio::{stderr, stdin, stdout},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// Bits that a session never grants, whatever the agent's own mask is; sshd's.
const MASKED: Mode = Mode::from_raw_mode(0o022);

/// Another account's identity, ready to be taken on without an allocation.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Identity {
    /// What `account` is; `None` for the agent's own.
    pub(super) fn of(account: &Account) -> Option<Self> {
        let assumed = account.assumed.as_ref()?;
        let groups = assumed.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        Some(Self { uid: Uid::from_raw(account.uid), gid: Gid::from_raw(account.gid), groups })
    }

    /// Makes the calling thread, the only one of a forked child, this account for good. System calls only.
    pub(super) fn take_on(&self) -> Result<(), Errno> {
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        let whole = getuid() == self.uid && geteuid() == self.uid && getgid() == self.gid && getegid() == self.gid;
        if whole && !self.can_go_back() { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Gives the calling process's standard input, output and errors, pipes that root made, to this account: what opens them once more
    /// by name (`/dev/stderr`) has to be allowed to. Where the kernel refuses, they are still good as they are. System calls only.
    pub(super) fn take_pipes(&self) {
        for pipe in [stdin(), stdout(), stderr()] {
            let _as_it_is = fchown(pipe, Some(self.uid), Some(self.gid));
        }
    }

    /// As OpenSSH, tries: a way back that the kernel leaves open is a fault, whatever the numbers say.
    fn can_go_back(&self) -> bool {
        let user = || set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok();
        let group = || !self.gid.is_root() && set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).is_ok();
        !self.uid.is_root() && (user() || group())
    }
}

/// Files of the session are not writable for others, as under sshd.
pub(super) fn mask_files() {
    let inherited = umask(MASKED);
    umask(inherited | MASKED);
}
