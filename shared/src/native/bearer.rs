//! The token that is shown to the edge: its file is read again when the edge no longer takes it, so that rolling one restarts nobody.

use crate::token::{NotAToken, Scope, Token};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tracing::{info, warn};

/// Longest file: a token, and what an editor may have put around it.
const MAX_FILE: u64 = 4096;

/// What one client of the edge shows.
#[derive(Debug)]
pub(super) struct Bearer {
    file: Option<PathBuf>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    token: Token,
    /// What was told of the file last.
    trouble: Option<String>,
}

impl Bearer {
    /// `token`, which came from `file` where there is one.
    pub(super) const fn new(token: Token, file: Option<PathBuf>) -> Self {
        Self { file, held: Mutex::new(Held { token, trouble: None }) }
    }

    /// The one to show.
    pub(super) fn token(&self) -> Token {
        self.held().token.clone()
    }

    /// Another one than `refused`, if there is one by now.
    pub(super) fn instead_of(&self, refused: &Token) -> Option<Token> {
        let mut held = self.held();
        if held.token.hash() == refused.hash() {
            held.renew(self.file.as_deref()?);
        }
        (held.token.hash() != refused.hash()).then(|| held.token.clone())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Reads `file` again. What is no token there is told once.
    fn renew(&mut self, file: &Path) {
        match read(file, self.token.scope()) {
            Ok(token) => {
                if token.hash() != self.token.hash() {
                    info!(file = %file.display(), "the edge refuses the token, and its file has another by now: that is used");
                }
                *self = Self { token, trouble: None };
            }
            Err(fault) => {
                if self.trouble.as_ref() != Some(&fault) {
                    warn!(file = %file.display(), %fault, "the edge refuses the token, and its file has no other");
                }
                self.trouble = Some(fault);
            }
        }
    }
}

fn read(file: &Path, scope: Scope) -> Result<Token, String> {
    let text = text(file).map_err(|fault| fault.to_string())?;
    let token: Token = text.trim().parse().map_err(|fault: NotAToken| fault.to_string())?;
    let is = token.scope();
    if is == scope { Ok(token) } else { Err(format!("a token for the scope {is}, and {scope} is wanted here")) }
}

/// What can be read only once, as a pipe, would be waited for.
fn text(file: &Path) -> io::Result<String> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it can be read only once"));
    }
    let mut text = String::new();
    File::open(file)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn token(seed: u8) -> Token {
        Token::mint(Scope::Daemon, &[seed; 32])
    }

    #[test]
    fn the_file_says_what_to_show_instead_of_what_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let bearer = Bearer::new(token(1), Some(file.clone()));
        let instead = |refused| bearer.instead_of(&token(refused)).map(|token| token.hash());
        assert_eq!(instead(1), None, "there is no file");
        for bad in ["", "dbd_", Token::mint(Scope::Agent, &[2; 32]).expose(), token(1).expose()] {
            fs::write(&file, bad).unwrap();
            assert_eq!((instead(1), bearer.token().hash()), (None, token(1).hash()), "{bad}");
        }
        fs::write(&file, format!("{}\n", token(2).expose())).unwrap();
        assert_eq!((instead(1), bearer.token().hash()), (Some(token(2).hash()), token(2).hash()));
        fs::remove_file(&file).unwrap();
        assert_eq!(instead(1), Some(token(2).hash()), "another call was refused at the same time");
        assert!(instead(2).is_none() && Bearer::new(token(1), None).instead_of(&token(1)).is_none());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(Bearer::new(token(1), Some(pipe)).instead_of(&token(1)).is_none());
    }
}
