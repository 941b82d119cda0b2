//! Builds the Worker: cargo for wasm, then wasm-bindgen as a library, so that no tool has to be downloaded.

use crate::cargo::cargo;
use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::GzEncoder};
use std::{
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
/// The platform's own limit is far higher; this one keeps cold starts short.
const MAX_GZIP: usize = 400 * 1000;
const ENTRY: &str = include_str!("../../edge/entry.js");

/// What the Worker weighs, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// As it is.
    pub raw: usize,
    /// As it is uploaded.
    pub gzip: usize,
}

/// Builds `edge/build/`, says the size and refuses one that is too large.
pub fn build(root: &Path) -> Result<Sizes> {
    let profile = target_dir(root).join(TARGET).join("wasm");
    compile(root)?;
    // Stacks that start at the same time build in the same folder.
    let lock = File::create(profile.join("bindgen.lock"))?;
    lock.lock()?;
    let fresh = profile.join("bindgen");
    bindgen(&profile.join("drawbridge_edge.wasm"), &fresh)?;
    minify(root, &fresh.join("edge.js"))?;
    let sizes = weigh(&fresh)?;
    eprintln!("edge: {} KB, {} KB gzip", sizes.raw / 1000, sizes.gzip / 1000);
    ensure!(sizes.gzip <= MAX_GZIP, "the Worker has {} bytes gzip, more than {MAX_GZIP}", sizes.gzip);
    update(&fresh, &root.join("edge/build"))?;
    Ok(sizes)
}

fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

fn compile(root: &Path) -> Result<()> {
    let mut build = cargo(root);
    build.args(["build", "--package", "drawbridge-edge", "--lib", "--profile", "wasm", "--target", TARGET]);
    // An outer cargo describes its own package to us; rustc flags for the native target would not fit wasm.
    for (name, _) in env::vars_os().filter(|(name, _)| foreign(&name.to_string_lossy())) {
        build.env_remove(name);
    }
    build.env("CARGO_ENCODED_RUSTFLAGS", short_paths());
    let status = build.status().context("cargo does not start")?;
    ensure!(status.success(), "the Worker does not build ({status})");
    Ok(())
}

/// Panics name source files: where this machine keeps them is nobody's business, and takes room.
fn short_paths() -> String {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    format!("--remap-path-prefix={}=", cargo.join("registry/src").display())
}

fn foreign(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || matches!(name, "RUSTFLAGS" | "CARGO_ENCODED_RUSTFLAGS")
}

fn bindgen(wasm: &Path, out: &Path) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).module(true)?.typescript(false).remove_name_section(true).remove_producers_section(true);
    bindgen.reset_state_function(true).force_enable_abort_handler(true).out_name("edge");
    if out.is_dir() {
        fs::remove_dir_all(out)?;
    }
    bindgen.generate(out)?;
    let glue = fs::read_to_string(out.join("edge.js"))?;
    // wrangler's bundler takes a wasm import as a compiled module; it does not know `import source`.
    fs::write(out.join("edge.js"), glue.replace("import source ", "import "))?;
    fs::write(out.join("index.js"), ENTRY).context("the entry point cannot be written")
}

/// The runtime's own bundler is here anyway.
fn minify(root: &Path, file: &Path) -> Result<()> {
    let mut esbuild = Command::new(root.join("node_modules/esbuild/bin/esbuild"));
    esbuild.arg(file).args(["--minify", "--format=esm", "--log-level=error", "--allow-overwrite"]);
    let status = esbuild.arg(format!("--outfile={}", file.display())).status().context("esbuild does not start")?;
    ensure!(status.success(), "the glue cannot be minified ({status})");
    Ok(())
}

/// Another stack may be starting from `to`: a file is replaced only when it changed, and nothing ever goes away.
fn update(from: &Path, to: &Path) -> Result<()> {
    for file in files(from)? {
        let target = to.join(file.strip_prefix(from)?);
        let bytes = fs::read(&file)?;
        if fs::read(&target).is_ok_and(|held| held == bytes) {
            continue;
        }
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        fs::write(&target, bytes).with_context(|| format!("{} cannot be written", target.display()))?;
    }
    Ok(())
}

fn weigh(folder: &Path) -> Result<Sizes> {
    let mut sizes = Sizes { raw: 0, gzip: 0 };
    for file in files(folder)? {
        let bytes = fs::read(file)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&bytes)?;
        sizes.raw += bytes.len();
        sizes.gzip += gzip.finish()?.len();
    }
    Ok(sizes)
}

/// All files below `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
