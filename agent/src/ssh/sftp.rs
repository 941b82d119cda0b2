//! The SFTP server of one channel: version 3 as OpenSSH speaks it, from an input to an output, in a process of its own.
//!
//! The agent starts itself anew for each `sftp` subsystem ([`super::Executable`]), as sshd starts its `sftp-server`: who
//! the files belong to, signals, half-close and back-pressure are those of any program, and calls that wait for a disk
//! hold up nobody else.

mod attributes;
mod change;
mod crew;
mod errand;
mod extension;
mod file;
mod folder;
mod frames;
mod handles;
mod lanes;
mod limits;
mod listing;
mod outbox;
mod packet;
mod parse;
mod paths;
mod realpath;
mod reply;
mod request;
mod server;
mod status;
mod umask;

pub use attributes::Attributes;
pub use extension::Extension;
pub use frames::FrameFault;
pub use handles::Handle;
pub use parse::Malformed;
pub use request::{Message, Request};

use crew::{Crew, Yard};
use drawbridge_shared::native::descriptors;
use outbox::Outbox;
use server::Server;
use std::{
    io::{self, Read, Write},
    thread,
};

/// Why a server cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The input cannot be cut into messages.
    #[error(transparent)]
    Frame(#[from] FrameFault),
    /// A message cannot be understood.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A request came before the client's version.
    #[error("a request before the client's version")]
    Early,
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    /// The process cannot be set up.
    #[error("standard input and output cannot be used: {0}")]
    Process(io::Error),
}

impl Fault {
    /// The exit status that OpenSSH's `sftp-server` ends with.
    pub fn status(&self) -> u8 {
        match self {
            Self::Frame(FrameFault::TooLong(_)) => 11,
            Self::Frame(FrameFault::Empty) | Self::Malformed(_) | Self::Early => 255,
            Self::Frame(FrameFault::Input(_)) | Self::Output(_) | Self::Process(_) => 1,
        }
    }
}

/// Serves from `input` to `output` until the input's end; what was asked by then is answered. `descriptors` is how many
/// this process may have open.
pub fn serve(input: impl Read, output: impl Write + Send + 'static, descriptors: u64) -> Result<(), Fault> {
    let (outbox, yard) = (Outbox::new(output), Yard::default());
    let served = thread::scope(|sending| {
        sending.spawn(|| outbox.run());
        let _end = outbox.ends_on_drop();
        thread::scope(|lanes| Server::new(Crew::new(lanes, &yard, &outbox), &outbox, descriptors).run(input))
    });
    outbox.take_fault().map_or(served, |fault| Err(Fault::Output(fault)))
}

/// [`serve`] as a program: from standard input to standard output.
pub fn main() -> Result<(), Fault> {
    // What `ps` shows otherwise is the number of the descriptor that was executed.
    let _unnamed = rustix::thread::set_name(c"sftp-server");
    let input = rustix::io::dup(rustix::stdio::stdin()).map_err(|fault| Fault::Process(fault.into()))?;
    let output = rustix::io::dup(rustix::stdio::stdout()).map_err(|fault| Fault::Process(fault.into()))?;
    if let Some(shell) = std::env::var_os("SHELL") {
        umask::ask(&shell);
    }
    let descriptors = descriptors::raise().unwrap_or(u64::MAX);
    serve(std::fs::File::from(input), std::fs::File::from(output), descriptors)
}

#[cfg(test)]
mod tests {
    use super::{outbox::tests::Sent, *};

    /// What is answered to `input`.
    fn answers(input: &[u8]) -> (String, Result<(), Fault>) {
        let sent = Sent::default();
        let served = serve(input, sent.clone(), 100);
        (sent.text(), served)
    }

    const INIT: &[u8] = b"\0\0\0\x05\x01\0\0\0\x03";
    const ROOT: &[u8] = b"\0\0\0\x0a\x10\0\0\0\x07\0\0\0\x01/";
    const ROOT_ANSWER: &str = "\0\0\0\x17\x68\0\0\0\x07\0\0\0\x01\0\0\0\x01/\0\0\0\x01/\0\0\0\0";

    #[test]
    fn nothing_is_an_end_and_no_fault() {
        let (sent, served) = answers(b"");
        assert!(sent.is_empty() && served.is_ok());
    }

    #[test]
    fn all_that_was_asked_is_answered_in_order() {
        let (sent, served) = answers(&[INIT, ROOT, ROOT, INIT].concat());
        assert!(served.is_ok());
        let version = &sent[..sent.len() / 2 - ROOT_ANSWER.len()];
        assert_eq!(sent, [version, ROOT_ANSWER, ROOT_ANSWER, version].concat());
    }

    #[test]
    fn a_fault_ends_it_with_the_status_of_sftp_server() {
        let fault = |bytes: &[u8]| {
            let (sent, served) = answers(&[INIT, ROOT, bytes, ROOT].concat());
            assert!(sent.ends_with(ROOT_ANSWER) && sent.matches(ROOT_ANSWER).count() == 1);
            served.unwrap_err().status()
        };
        assert_eq!(fault(b"\0\x04\0\x01"), 11);
        assert_eq!(fault(b"\0\0\0\0"), 255);
        assert_eq!(fault(b"\0\0\0\x01\x10"), 255);
        assert!(matches!(answers(ROOT).1, Err(Fault::Early)));
    }
}
