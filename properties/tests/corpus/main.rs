//! The fuzzer's properties for a short, deterministic while: over every seed, and over seeds changed by chance.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod mutate;

use mutate::Mutator;
use properties::{ALL, Property};
use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Changed seeds a target; the fuzzer makes millions.
const ROUNDS: usize = 4_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn files_in(folder: &str) -> BTreeSet<String> {
    fs::read_dir(fuzz().join(folder)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = fuzz().join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
    // In one order everywhere: what fails here fails there.
    let files: BTreeSet<_> = files.map(|file| file.unwrap().path()).collect();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Says which input broke the promise.
fn holds(target: &str, property: Property, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| property(input))).unwrap_or_else(|_| panic!("{target} breaks with {}", input.escape_ascii()))
}

fn run(target: &str) {
    let (_, property) = ALL.into_iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    let inside = seeds.iter().filter(|seed| holds(target, property, seed)).count();
    assert!(
        inside > 0 && inside < seeds.len(),
        "seeds of {target}: {inside} of {} are taken; both kinds are needed",
        seeds.len()
    );
    let mut mutator = Mutator::new(1);
    let taken = (0..ROUNDS).filter(|_| holds(target, property, &mutator.change(&seeds))).count();
    assert!(taken > 0, "no changed seed of {target} is taken: chance stays outside");
}

macro_rules! targets {
    ($($target:ident),*) => {
        $(#[test]
        fn $target() {
            run(stringify!($target));
        })*

        #[test]
        fn every_target_is_run() {
            let named: BTreeSet<_> = [$(stringify!($target)),*].into();
            assert_eq!(named, ALL.iter().map(|(name, _)| *name).collect());
            assert_eq!(files_in("corpus"), named.iter().map(|name| name.to_string()).collect());
            assert_eq!(files_in("fuzz_targets"), named.iter().map(|name| format!("{name}.rs")).collect());
            let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
            assert!(named.iter().all(|name| manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\""))));
        }
    };
}

targets!(
    answer,
    authorized_keys,
    directory,
    frames,
    key_line,
    key_shard,
    manifest,
    open_header,
    proxy_header,
    sftp,
    strand,
    target,
    token,
    workspace_shard
);

#[test]
fn the_genuine_manifest_is_a_seed() {
    assert!(seeds("manifest").iter().any(|seed| seed == properties::manifest::genuine().as_bytes()));
}
