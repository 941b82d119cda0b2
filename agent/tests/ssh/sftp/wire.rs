//! What stock clients do not show: pipelines, whole listings, whose process it is.

use super::raw::{EXTENDED, OPENDIR, READ, READDIR, READLINK, Raw, WRITE, message, string};
use crate::harness::{Workspace, noise};
use std::{fs, os::unix::fs::MetadataExt};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_a_process_of_the_account_in_its_home() {
    let workspace = Workspace::start().await;
    let mut raw = Raw::start(&workspace).await;
    let link = async |raw: &mut Raw, path: &str| {
        let answer = raw.ask(READLINK, &[&string(path.as_bytes())]).await;
        String::from_utf8(answer.names().1.to_vec()).unwrap()
    };
    let home = fs::canonicalize(workspace.home("")).unwrap();
    assert_eq!(link(&mut raw, "/proc/self/cwd").await, home.to_str().unwrap());
    let binary = fs::canonicalize(env!("CARGO_BIN_EXE_drawbridge-agent")).unwrap();
    assert_eq!(link(&mut raw, "/proc/self/exe").await, binary.to_str().unwrap());
    let pid = link(&mut raw, "/proc/self").await;
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "sftp-server\n");
    // Standard input, output and errors, and the first two once more.
    assert_eq!(fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), 5);
    assert_eq!(raw.end().await.1, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pipelined_requests_are_answered() {
    let workspace = Workspace::start().await;
    let data = noise(1000 * 4096);
    fs::write(workspace.home("down"), &data).unwrap();
    let mut raw = Raw::start(&workspace).await;
    let (down, up) = (raw.open("down", 1).await, raw.open("up", 0x1a).await);
    let offset = |n: u32| (u64::from(n) * 4096).to_be_bytes();
    let reads: Vec<_> = (0..1000).map(|n| message(READ, n, &[&down, &offset(n), &4096_u32.to_be_bytes()])).collect();
    raw.send(&reads.concat()).await;
    let mut seen = Vec::new();
    for n in 0..1000 {
        let answer = raw.answer().await;
        assert_eq!(answer.id, n, "an answer out of order");
        seen.extend_from_slice(answer.data());
    }
    assert!(seen == data);
    for (n, piece) in data.chunks(4096).enumerate() {
        let n = u32::try_from(n).unwrap();
        raw.send(&message(WRITE, n, &[&up, &offset(n), &string(piece)])).await;
    }
    for n in 0..1000 {
        let answer = raw.answer().await;
        assert_eq!((answer.id, answer.status().0), (n, 0));
    }
    assert!(fs::read(workspace.home("up")).unwrap() == data);
    assert_eq!(raw.end().await.1, Some(0));
}

/// The results are those of one request after the other, whatever runs beside what.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_on_one_file_keep_their_order() {
    let workspace = Workspace::start().await;
    let mut raw = Raw::start(&workspace).await;
    let (one, other, third) = (raw.open("a", 0x1b).await, raw.open("a", 0x0b).await, raw.open("b", 0x1b).await);
    let stat = 17;
    let mut batch = Vec::new();
    for n in 0..300_u32 {
        let (at, byte) = (u64::from(n).to_be_bytes(), string(&[b'a' + (n % 26) as u8]));
        batch.extend(message(WRITE, 4 * n, &[&one, &at, &byte]));
        batch.extend(message(WRITE, 4 * n + 1, &[&third, &at, &byte]));
        batch.extend(message(READ, 4 * n + 2, &[&other, &at, &9_u32.to_be_bytes()]));
        batch.extend(message(stat, 4 * n + 3, &[&string(b"b")]));
    }
    raw.send(&batch).await;
    for _ in 0..1200 {
        let answer = raw.answer().await;
        let n = answer.id / 4;
        match answer.id % 4 {
            2 => assert_eq!(answer.data(), [b'a' + (n % 26) as u8]),
            3 => assert_eq!(answer.body[4..12], u64::from(n + 1).to_be_bytes()),
            _ => assert_eq!(answer.status().0, 0),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_leave_holes_and_reads_end_at_the_end() {
    let workspace = Workspace::start().await;
    let mut raw = Raw::start(&workspace).await;
    let file = raw.open("sparse", 0x1b).await;
    let far = 5_u64 << 30;
    assert_eq!(raw.ask(WRITE, &[&file, &far.to_be_bytes(), &string(b"end")]).await.status().0, 0);
    let metadata = fs::metadata(workspace.home("sparse")).unwrap();
    assert_eq!(metadata.len(), far + 3);
    assert!(metadata.blocks() < 1024, "{} blocks", metadata.blocks());
    assert_eq!(raw.ask(READ, &[&file, &far.to_be_bytes(), &[0, 0, 1, 0]]).await.data(), b"end");
    let hole = raw.ask(READ, &[&file, &(far - 4096).to_be_bytes(), &[0, 4, 0, 0]]).await;
    assert_eq!((hole.data().len(), hole.data()[..4096].iter().all(|&byte| byte == 0)), (4099, true));
    assert_eq!(raw.ask(READ, &[&file, &(far + 3).to_be_bytes(), &[0, 0, 1, 0]]).await.status(), (1, "End of file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_hundred_thousand_is_listed() {
    const MANY: u32 = 100_000;
    let workspace = Workspace::start().await;
    let folder = workspace.home("many");
    fs::create_dir(&folder).unwrap();
    for n in 0..MANY {
        fs::File::create(folder.join(n.to_string())).unwrap();
    }
    let mut raw = Raw::start(&workspace).await;
    let handle = raw.ask(OPENDIR, &[&string(b"many")]).await.body;
    let mut names = 0;
    loop {
        let answer = raw.ask(READDIR, &[&handle]).await;
        if answer.kind == 101 {
            assert_eq!(answer.status(), (1, "End of file"));
            break;
        }
        names += answer.names().0;
    }
    assert_eq!(names, MANY + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_copied_on_the_server() {
    let workspace = Workspace::start().await;
    let data = noise(3 << 20);
    fs::write(workspace.home("from"), &data).unwrap();
    let mut raw = Raw::start(&workspace).await;
    let (from, to) = (raw.open("from", 1).await, raw.open("to", 0x1a).await);
    let copy = |from: &[u8], offset: u64, length: u64, to: &[u8]| {
        [&string(b"copy-data")[..], from, &offset.to_be_bytes(), &length.to_be_bytes(), to, &[0; 8]].concat()
    };
    assert_eq!(raw.ask(EXTENDED, &[&copy(&from, 0, 0, &to)]).await.status().0, 0);
    assert!(fs::read(workspace.home("to")).unwrap() == data);
    let past = raw.ask(EXTENDED, &[&copy(&from, 3 << 20, 9, &to)]).await;
    assert_eq!(past.status(), (1, "End of file"));
    assert_eq!(raw.ask(EXTENDED, &[&copy(&to, 0, 9, &to)]).await.status().0, 4);
}
