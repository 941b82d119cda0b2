//! `cargo xtask readme`: README's table of figures, from what `bench ssh` left.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::{fs, path::Path, process::ExitCode};

/// The table's first lines, by which it is found; it ends at the next empty line.
const HEAD: &str = "| | OpenSSH | QUIC | ratio | WebSocket | ratio | goal |\n|---|---|---|---|---|---|---|\n";
const RESULTS: &str = "bench/results/ssh.json";

/// What an unmodified client is shown with; everything else is on equal terms.
const STOCK: &[&str] = &[
    "login to first byte",
    "download",
    "upload",
    "scp of one large file, down",
    "scp of one large file, up",
    "echo p50, idle",
    "echo p50, beside a download, same connection",
    "echo p99, beside a download, same connection",
    "beside keystrokes: a download, same connection",
    "echo p50, beside an upload, same connection",
    "echo p99, beside an upload, same connection",
];
/// What is left out on equal terms, by its beginning.
const LEFT_OUT: &[&str] = &["target's memory", "echo p99", "beside keystrokes", "logins a CPU second"];

#[derive(Deserialize)]
struct Results {
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    terms: String,
    what: String,
    way: String,
    unit: String,
    ours: f64,
    peer: f64,
    ratio: Ratio,
    goal: Option<String>,
}

#[derive(Deserialize)]
struct Ratio {
    median: f64,
}

/// Writes the table anew.
pub fn write(root: &Path) -> Result<ExitCode> {
    let (path, held, wanted) = both(root)?;
    if held != wanted {
        fs::write(path, wanted)?;
        eprintln!("README.md has the figures of {RESULTS} now; what it says around them is yours");
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails where the table is an older one.
pub(crate) fn check(root: &Path) -> Result<()> {
    let (_, held, wanted) = both(root)?;
    ensure!(held == wanted, "README's table is not that of {RESULTS}: `cargo xtask readme` writes it");
    Ok(())
}

/// README's path, its text, and the text that it should have.
fn both(root: &Path) -> Result<(std::path::PathBuf, String, String)> {
    let path = root.join("README.md");
    let held = fs::read_to_string(&path)?;
    let results = fs::read_to_string(root.join(RESULTS)).context(RESULTS)?;
    let Results { pairs } = serde_json::from_str(&results).context(RESULTS)?;
    let (before, rest) = held.split_once(HEAD).context("README.md has no table of figures")?;
    let (_, after) = rest.split_once("\n\n").context("README's table of figures does not end")?;
    let wanted = format!("{before}{HEAD}{}\n{after}", table(&pairs));
    Ok((path, held, wanted))
}

/// A line for each row, in the order in which they were measured, an unmodified client's first.
fn table(pairs: &[Pair]) -> String {
    let shown = |pair: &&Pair| match pair.terms.as_str() {
        "stock" => STOCK.contains(&pair.what.as_str()),
        _ => !LEFT_OUT.iter().any(|beginning| pair.what.starts_with(beginning)),
    };
    let (stock, equal): (Vec<_>, Vec<_>) = pairs.iter().filter(shown).partition(|pair| pair.terms == "stock");
    let quic = stock.into_iter().chain(equal).filter(|pair| pair.way == "quic");
    quic.filter_map(|quic| Some(line(quic, pairs.iter().find(|pair| is_beside(pair, quic))?))).collect()
}

/// Whether it is the same, over WebSocket.
fn is_beside(pair: &Pair, quic: &Pair) -> bool {
    pair.way == "websocket" && pair.terms == quic.terms && pair.what == quic.what
}

fn line(quic: &Pair, websocket: &Pair) -> String {
    let terms = if quic.terms == "stock" { "unmodified client" } else { "same cipher and key exchange" };
    let [peer, quic_figure, websocket_figure] = [quic.peer, quic.ours, websocket.ours].map(|figure| shown(figure, &quic.unit));
    format!(
        "| {}, {terms} | {peer} {} | {quic_figure} | {:.2} | {websocket_figure} | {:.2} | {} |\n",
        quic.what,
        quic.unit,
        quic.ratio.median,
        websocket.ratio.median,
        goal(quic.goal.as_deref(), websocket.goal.as_deref()),
    )
}

/// As many digits as say something.
fn shown(figure: f64, unit: &str) -> String {
    match figure {
        _ if unit == "s" => format!("{figure:.2}"),
        10.0.. => format!("{figure:.0}"),
        1.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn goal(quic: Option<&str>, websocket: Option<&str>) -> String {
    let goal = match (quic, websocket) {
        (Some(quic), Some(websocket)) if quic == websocket => quic.to_owned(),
        (Some(quic), Some(websocket)) => format!("{quic} / {websocket}"),
        (Some(quic), None) => format!("{quic} (QUIC)"),
        (None, Some(websocket)) => format!("{websocket} (WebSocket)"),
        (None, None) => String::new(),
    };
    goal.replace("<=", "≤").replace(">=", "≥")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_both_transports_and_their_goals() {
        let pair = |way: &str, ours: f64, median: f64, goal: &str| Pair {
            terms: "stock".into(),
            what: "download".into(),
            way: way.into(),
            unit: "MiB/s".into(),
            ours,
            peer: 173.4,
            ratio: Ratio { median },
            goal: Some(goal.into()),
        };
        let pairs = [pair("quic", 259.1, 1.421, ">= 1.4"), pair("websocket", 9.14, 0.65, ">= 1.6")];
        assert_eq!(table(&pairs), "| download, unmodified client | 173 MiB/s | 259 | 1.42 | 9.1 | 0.65 | ≥ 1.4 / ≥ 1.6 |\n");
        assert_eq!(goal(Some(">= 15"), None), "≥ 15 (QUIC)");
    }

    #[test]
    fn figures_have_the_digits_that_say_something() {
        let all = [(1673.5, "kB"), (9.14, "MiB/s"), (0.784, "MiB/s"), (1.484, "s"), (10.2, "s")];
        assert_eq!(all.map(|(figure, unit)| shown(figure, unit)), ["1674", "9.1", "0.78", "1.48", "10.20"]);
    }
}
