//! How an operation ended, as the client is told: OpenSSH's codes for the kernel's errors.

use rustix::io::Errno;
use std::borrow::Cow;

/// draft-ietf-secsh-filexfer-02 section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    Ok = 0,
    Eof = 1,
    NoSuchFile = 2,
    PermissionDenied = 3,
    Failure = 4,
    BadMessage = 5,
    Unsupported = 8,
}

/// A code, and words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) words: Cow<'static, str>,
}

impl Status {
    pub(super) fn new(code: Code, words: impl Into<Cow<'static, str>>) -> Self {
        Self { code, words: words.into() }
    }

    /// The handle stands for nothing that this operation takes.
    pub(super) fn no_handle() -> Self {
        Code::Failure.into()
    }
}

impl Code {
    fn of(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::BADF | Errno::LOOP => Self::NoSuchFile,
            Errno::PERM | Errno::ACCESS | Errno::FAULT => Self::PermissionDenied,
            Errno::NAMETOOLONG | Errno::INVAL => Self::BadMessage,
            Errno::NOSYS => Self::Unsupported,
            _ => Self::Failure,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Ok => "Success",
            Self::Eof => "End of file",
            Self::NoSuchFile => "No such file",
            Self::PermissionDenied => "Permission denied",
            Self::Failure => "Failure",
            Self::BadMessage => "Bad message",
            Self::Unsupported => "Operation unsupported",
        }
    }
}

impl From<Code> for Status {
    fn from(code: Code) -> Self {
        Self::new(code, code.words())
    }
}

impl From<Errno> for Status {
    /// "Failure" alone, which is all that OpenSSH's server says, tells a full disk from an existing file to nobody.
    fn from(errno: Errno) -> Self {
        match Code::of(errno) {
            Code::Failure => Self::new(Code::Failure, words(errno)),
            code => code.into(),
        }
    }
}

/// The C library's words, without the number that Rust appends.
fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_as_openssh_tells_them() {
        let told = |errno| Status::from(errno);
        assert_eq!(told(Errno::NOENT), Status::new(Code::NoSuchFile, "No such file"));
        assert_eq!(told(Errno::NOTDIR), Status::new(Code::NoSuchFile, "No such file"));
        assert_eq!(told(Errno::ACCESS), Status::new(Code::PermissionDenied, "Permission denied"));
        assert_eq!(told(Errno::INVAL), Status::new(Code::BadMessage, "Bad message"));
        assert_eq!(told(Errno::NOSYS), Status::new(Code::Unsupported, "Operation unsupported"));
    }

    #[test]
    fn a_failure_says_which() {
        assert_eq!(Status::from(Errno::EXIST), Status::new(Code::Failure, "File exists"));
        assert_eq!(Status::from(Errno::NOSPC), Status::new(Code::Failure, "No space left on device"));
    }
}
