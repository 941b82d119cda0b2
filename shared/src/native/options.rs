//! Options that daemon and agent have in common, checked so that all faults are told at once.

use super::trust::Pinned;
use crate::token::{Scope, Token};
use clap::Args;
use reqwest::Url;
use std::{
    fmt, fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// How to reach and believe the edge, as given.
#[derive(Args, Debug)]
pub struct EdgeOptions {
    /// Address of the edge, for example https://keys.example.com
    #[arg(long, env = "DRAWBRIDGE_EDGE", value_name = "URL")]
    edge: Option<String>,
    /// File with the token; DRAWBRIDGE_TOKEN takes the token itself
    #[arg(long, env = "DRAWBRIDGE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the edge's public signing keys, one `ssh-ed25519 AAAA...` a line
    #[arg(long, env = "DRAWBRIDGE_TRUST", value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Folder for what has to outlive a restart; made with mode 0700
    #[arg(long, env = "DRAWBRIDGE_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// How to reach and believe the edge, checked.
#[derive(Debug)]
pub struct Edge {
    /// Its address.
    pub url: Url,
    /// What opens it.
    pub token: Token,
    /// The file that this came from, where it did.
    pub token_file: Option<PathBuf>,
    /// Whose documents are believed.
    pub trust: Pinned,
    /// Where state is kept.
    pub state_dir: PathBuf,
}

/// All that is wrong with the options.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Notes what is wrong with `checked`, or passes it on.
    pub fn note<T>(&mut self, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|fault| self.0.push(fault)).ok()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "the options have {} fault{plural}:", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))?;
        f.write_str("\n`--help` tells what each option takes")
    }
}

impl std::error::Error for Faults {}

/// Says on standard error why `program` ended; 2 stands for wrong options, as with every command line, 1 for the rest.
pub fn complain(program: &str, fault: &anyhow::Error) -> ExitCode {
    eprintln!("{program}: {fault:#}");
    if fault.is::<Faults>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

impl EdgeOptions {
    /// Checks them; `token` is the environment's, which no command line shows, and has to be of `scope`.
    pub fn check(self, token: Option<String>, scope: Scope, faults: &mut Faults) -> Option<Edge> {
        let token = faults.note(self.token(token).and_then(|text| scoped(&text, scope)));
        let url = faults.note(given(self.edge, "--edge", "DRAWBRIDGE_EDGE").and_then(|text| address(&text)));
        let trust = faults.note(given(self.trust, "--trust", "DRAWBRIDGE_TRUST").and_then(Pinned::read));
        let state_dir = faults.note(given(self.state_dir, "--state-dir", "DRAWBRIDGE_STATE_DIR"));
        Some(Edge { url: url?, token: token?, token_file: self.token_file, trust: trust?, state_dir: state_dir? })
    }

    fn token(&self, given: Option<String>) -> Result<String, String> {
        match (given, &self.token_file) {
            (Some(text), None) => Ok(text),
            (None, Some(file)) => fs::read_to_string(file).map_err(|fault| unread(file, &fault)),
            (None, None) => Err("no token: give --token-file, or DRAWBRIDGE_TOKEN in the environment".into()),
            (Some(_), Some(_)) => Err("two tokens: give --token-file or DRAWBRIDGE_TOKEN, not both".into()),
        }
    }
}

/// A token in the file's place, be it mistyped, is not repeated: it is the secret itself.
fn unread(file: &Path, fault: &io::Error) -> String {
    match file.to_str().and_then(Scope::claimed_by) {
        Some(_) => "--token-file: that is a token, not a file: use DRAWBRIDGE_TOKEN".into(),
        None => format!("--token-file {}: {fault}", file.display()),
    }
}

fn given<T>(option: Option<T>, flag: &str, variable: &str) -> Result<T, String> {
    option.ok_or_else(|| format!("{flag} is missing: give it, or {variable} in the environment"))
}

fn scoped(text: &str, wanted: Scope) -> Result<Token, String> {
    let token: Token = text.trim().parse().map_err(|fault| format!("the token: {fault}"))?;
    let scope = token.scope();
    if scope == wanted { Ok(token) } else { Err(format!("the token is for the scope {scope}, and {wanted} is wanted here")) }
}

fn address(text: &str) -> Result<Url, String> {
    if !text.contains("://") {
        return Err(format!("--edge {text}: an address begins with https://, so write https://{text}"));
    }
    let url = Url::parse(text).map_err(|fault| format!("--edge {text}: {fault}"))?;
    match url.scheme() {
        "http" | "https" if url.path() == "/" => Ok(url),
        _ => Err(format!("--edge {text}: an address like https://keys.example.com, without a path")),
    }
}

/// `text`, given for `option`, as whole seconds within `range`.
pub fn seconds(option: &str, text: &str, range: RangeInclusive<u64>) -> Result<Duration, String> {
    let number: Option<u64> = text.parse().ok().filter(|number| range.contains(number));
    number
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{option} {text}: whole seconds from {} to {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::identity::Identity;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        edge: EdgeOptions,
    }

    fn check(edge: &str, trust: &str, token: &str) -> Result<Edge, Faults> {
        let options = Cli::parse_from(["test", "--edge", edge, "--trust", trust, "--state-dir", "/tmp/x"]).edge;
        let mut faults = Faults::default();
        options.check(Some(token.into()), Scope::Daemon, &mut faults).ok_or(faults)
    }

    #[test]
    fn every_fault_is_told_at_once_and_no_token_repeated() {
        let Faults(faults) = check("ftp://x", "/nowhere", "dbd_nonsense").unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(!faults.iter().any(|fault| fault.contains("nonsense")));
    }

    #[test]
    fn a_token_in_the_place_of_its_file_is_not_repeated() {
        let token = Token::mint(Scope::Daemon, &[1; 32]);
        for text in [token.expose(), "dbd_mistyped"] {
            let options = Cli::parse_from(["test", "--token-file", text]).edge;
            let mut faults = Faults::default();
            assert!(options.check(None, Scope::Daemon, &mut faults).is_none());
            let told = faults.to_string();
            assert!(told.contains("use DRAWBRIDGE_TOKEN") && !told.contains(text), "{told}");
        }
    }

    #[test]
    fn an_edge_without_a_scheme_is_told_what_to_write() {
        for bare in ["keys.example.com", "keys.example.com:8443"] {
            assert!(address(bare).unwrap_err().ends_with(&format!("write https://{bare}")));
        }
    }

    #[test]
    fn what_is_missing_is_told_too() {
        let mut faults = Faults::default();
        let options = Cli::parse_from(["test"]).edge;
        assert!(options.check(None, Scope::Daemon, &mut faults).is_none());
        assert_eq!(faults.0.len(), 4, "{faults}");
    }

    #[test]
    fn whole_options_pass_with_a_token_of_the_right_scope() {
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("trust");
        fs::write(&trust, Identity::from_seed(&[1; 32]).public().to_line()).unwrap();
        let checked = |scope| check("https://keys.example.com", trust.to_str().unwrap(), Token::mint(scope, &[1; 32]).expose());
        assert!(checked(Scope::Daemon).is_ok());
        assert!(checked(Scope::User).unwrap_err().to_string().contains("daemon is wanted"));
    }

    #[test]
    fn seconds_have_a_range() {
        assert_eq!(seconds("--x", "7", 1..=9), Ok(Duration::from_secs(7)));
        assert!(seconds("--x", "0", 1..=9).is_err());
        assert!(seconds("--x", "soon", 1..=9).is_err());
    }
}
