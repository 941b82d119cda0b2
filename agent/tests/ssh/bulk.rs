//! Many bytes: every one of them, in order, both ways at once, whoever is slow.

use crate::harness::{Workspace, ends, noise, text};
use std::{fs, time::Duration};
use tokio::io::AsyncReadExt;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_go_both_ways_at_once() {
    let workspace = Workspace::start().await;
    let data = noise(64 * MIB);
    let output = workspace.run_with(&[], "cat", &data).await;
    assert!(output.stdout == data, "{} bytes came back", output.stdout.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rekeying_in_mid_transfer_loses_nothing() {
    let workspace = Workspace::start().await;
    let data = noise(64 * MIB);
    let output = workspace.run_with(&["-oRekeyLimit=1M", "-v"], "cat", &data).await;
    let told = text(&output.stderr);
    assert!(output.stdout == data, "{} bytes came back, {told}", output.stdout.len());
    let changes = told.matches("rekeying in progress").count().max(told.matches("SSH2_MSG_NEWKEYS received").count());
    assert!(changes > 20, "{changes} changes of keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_around_a_packet_are_exact() {
    let workspace = Workspace::start().await;
    let data = noise(3 * 32_768 + 1);
    fs::write(workspace.home("data"), &data).unwrap();
    for size in (1..=3).flat_map(|k| [32_768 * k - 1, 32_768 * k, 32_768 * k + 1]) {
        let down = workspace.run(&format!("head -c {size} data; head -c {size} data >&2")).await;
        assert!(down.stdout == data[..size] && down.stderr == data[..size], "{size} down");
        let up = workspace.run_with(&[], "cat > up", &data[..size]).await;
        assert!(up.status.success() && fs::read(workspace.home("up")).unwrap() == data[..size], "{size} up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_stops_the_program_and_loses_nothing() {
    let workspace = Workspace::start().await;
    let line = "head -c 67108864 /dev/zero; echo written > done; echo end";
    let mut child = workspace.ssh(&[]).arg("ws").arg(line).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!workspace.home("done").exists(), "64 MiB went where nobody reads");
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.len(), rest.ends_with(b"end\n")), (64 * MIB - 10 + 4, true));
    assert!(ends(child).await.status.success());
}
