//! Where our agent may differ from sshd: the checked-in list, and how a case is judged by it.

use crate::facts::Facts;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write};

const LISTED: &str = include_str!("differences.toml");
/// A fact that one side does not have.
const ABSENT: &str = "(absent)";
/// The only fact of a side on which the case itself broke.
pub(crate) const FAILED: &str = "failed";

/// The checked-in list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    difference: Vec<Difference>,
}

/// One fact that differs, and why it may.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    case: String,
    fact: String,
    sshd: String,
    agent: String,
    reason: String,
    /// Only as this kind of account, where sshd itself makes a difference.
    #[serde(rename = "as")]
    account: Option<Account>,
}

/// Whom the suite runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Account {
    Root,
    User,
}

impl Difference {
    fn applies_to(&self, case: &str) -> bool {
        self.case == case && self.account.is_none_or(|account| account == Account::own())
    }
}

impl Account {
    fn own() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::User }
    }
}

/// Fails unless every entry has a reason and belongs to one of `cases`.
pub(crate) fn check(cases: &[&str]) -> Result<()> {
    for entry in listed()? {
        ensure!(cases.contains(&&*entry.case), "there is no case {}: remove its entry", entry.case);
        ensure!(!entry.reason.trim().is_empty(), "{}, {}: an entry needs a reason", entry.case, entry.fact);
        ensure!(entry.sshd != entry.agent, "{}, {}: the entry lists no difference", entry.case, entry.fact);
    }
    Ok(())
}

/// Fails unless both sides agree, or differ exactly as listed.
pub(crate) fn judge(case: &str, sshd: &Facts, agent: &Facts) -> Result<()> {
    ensure!(!sshd.noted().is_empty(), "the case notes nothing");
    if let Some(fault) = sshd.noted().get(FAILED) {
        bail!("the case does not work with sshd itself: {fault}");
    }
    let listed = listed()?;
    let mut expected: BTreeMap<_, _> =
        listed.iter().filter(|entry| entry.applies_to(case)).map(|entry| (&*entry.fact, entry)).collect();
    let mut faults = String::new();
    for (fact, (sshd, agent)) in differing(sshd, agent) {
        match expected.remove(fact) {
            Some(entry) if entry.sshd == sshd && entry.agent == agent => {}
            other => unlisted(&mut faults, case, fact, &sshd, &agent, other.is_some())?,
        }
    }
    for fact in expected.keys() {
        writeln!(faults, "'{fact}' is listed and no longer differs: remove the entry")?;
    }
    ensure!(faults.is_empty(), "{faults}");
    Ok(())
}

fn listed() -> Result<Vec<Difference>> {
    Ok(toml::from_str::<List>(LISTED).context("tests/conformance/differences.toml")?.difference)
}

/// What differs; a case that broke with the agent has no other facts.
fn differing<'a>(sshd: &'a Facts, agent: &'a Facts) -> BTreeMap<&'a str, (String, String)> {
    let broke = agent.noted().contains_key(FAILED);
    let names = sshd.noted().keys().chain(agent.noted().keys()).map(|name| &**name);
    let names = names.filter(|name| !broke || *name == FAILED);
    let text = |facts: &Facts, name: &str| facts.noted().get(name).cloned().unwrap_or_else(|| ABSENT.into());
    names.map(|name| (name, (text(sshd, name), text(agent, name)))).filter(|(_, (sshd, agent))| sshd != agent).collect()
}

/// Told in the list's own form, so that it can be pasted once there is a reason.
fn unlisted(out: &mut String, case: &str, fact: &str, sshd: &str, agent: &str, changed: bool) -> std::fmt::Result {
    writeln!(out, "'{fact}' differs{}:", if changed { ", and not as listed" } else { "" })?;
    writeln!(out, "[[difference]]\ncase = {case:?}\nfact = {fact:?}\nsshd = {sshd:?}\nagent = {agent:?}")
}
