//! Clients that break the protocol lose their session and nothing else; those that only ask too much are told.

use super::raw::{CLOSE, EXTENDED, NO_ATTRIBUTES, OPEN, OPENDIR, READ, REALPATH, Raw, message, string};
use crate::harness::{Workspace, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_ends_the_session_as_sftp_server_does() {
    let workspace = Workspace::start().await;
    let cases: [(&[u8], i32, &str); 6] = [
        (b"\0\x04\0\x01rest", 11, "a message of 262145 bytes is longer than the 262144 that are taken"),
        (b"\xff\xff\xff\xff", 11, "a message of 4294967295 bytes is longer"),
        (b"\0\0\0\0\0\0\0\x05", 255, "an empty message"),
        (b"\0\0\0\x05\x05\0\0\0\x01", 255, "a message is shorter than what it holds"),
        (b"\0\0\0\x0a\x11\0\0\0\x01\xff\xff\xff\xffx", 255, "a message is shorter than what it holds"),
        (b"\0\0\0\x0c\x11\0\0\0\x01\0\0\0\x03a\0b", 255, "a path has a NUL in it"),
    ];
    for (bytes, status, words) in cases {
        let mut raw = Raw::start(&workspace).await;
        // Nothing behind it is taken for a message. Sent by itself it may find nobody there any more.
        raw.send(&[bytes, &message(REALPATH, 1, &[&string(b"/")])].concat()).await;
        let (rest, ended, told) = raw.end().await;
        assert_eq!((rest.len(), ended), (0, Some(status)), "{words}");
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_before_the_greeting_ends_the_session() {
    let workspace = Workspace::start().await;
    let mut raw = Raw::bare(&workspace);
    raw.send(&message(REALPATH, 1, &[&string(b"/")])).await;
    let (rest, status, told) = raw.end().await;
    assert_eq!((rest.len(), status), (0, Some(255)));
    assert!(told.contains("a request before the client's version"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_a_fault_or_the_end_is_answered() {
    let workspace = Workspace::start().await;
    for (last, status) in [(&b""[..], 0), (b"\0\0\0\x09\x10\0", 0), (b"\xff\xff\xff\xff", 11)] {
        let mut raw = Raw::start(&workspace).await;
        let requests: Vec<_> = (0..100).map(|id| message(REALPATH, id, &[&string(b"/")])).collect();
        raw.send(&[&requests.concat(), last].concat()).await;
        let (rest, ended, _) = raw.end().await;
        let one = message(104, 0, &[&[0, 0, 0, 1], &string(b"/"), &string(b"/"), &NO_ATTRIBUTES]).len();
        assert_eq!((rest.len(), ended), (100 * one, Some(status)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_types_and_extensions_are_told_and_the_session_goes_on() {
    let workspace = Workspace::start().await;
    let mut raw = Raw::start(&workspace).await;
    let unsupported = (8, "Operation unsupported");
    assert_eq!(raw.ask(99, &[b"whatever"]).await.status(), unsupported);
    assert_eq!(raw.ask(EXTENDED, &[&string(b"nosuch@example.com"), b"whatever"]).await.status(), unsupported);
    assert_eq!(raw.ask(REALPATH, &[&string(b"/..")]).await.names(), (1, &b"/"[..]));
    assert_eq!(raw.end().await.1, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_stand_for_nothing_are_told() {
    let workspace = Workspace::start().await;
    std::fs::write(workspace.home("file"), "abc").unwrap();
    let mut raw = Raw::start(&workspace).await;
    let closed = raw.open("file", 1).await;
    assert_eq!(raw.ask(CLOSE, &[&closed]).await.status(), (0, "Success"));
    for handle in [closed, string(b""), string(&[0xff; 8]), string(&[0; 300])] {
        assert_eq!(raw.ask(CLOSE, &[&handle]).await.status(), (2, "No such file"));
        assert_eq!(raw.ask(READ, &[&handle, &[0; 8], &[0, 0, 0, 9]]).await.status(), (4, "Failure"));
    }
    let folder = raw.ask(OPENDIR, &[&string(b".")]).await.body;
    assert_eq!(raw.ask(READ, &[&folder, &[0; 8], &[0, 0, 0, 9]]).await.status(), (4, "Failure"));
    assert_eq!(raw.end().await.1, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_handles_are_told_leave_no_file_behind_and_closing_makes_room() {
    let workspace = Workspace::start().await;
    let mut raw = Raw::start(&workspace).await;
    let limits = raw.ask(EXTENDED, &[&string(b"limits@openssh.com")]).await.body;
    let limit = u64::from_be_bytes(limits[24..32].try_into().unwrap());
    let mut handles = Vec::new();
    for _ in 0..limit {
        handles.push(raw.ask(OPENDIR, &[&string(b".")]).await);
    }
    assert!(handles.iter().all(|answer| answer.kind == 102));
    let create = |name: &[u8]| [&string(name)[..], &[0, 0, 0, 0x0a], &NO_ATTRIBUTES].concat();
    let refused = raw.ask(OPEN, &[&create(b"new")]).await;
    assert_eq!(refused.status(), (4, "too many files and folders are open: close some"));
    assert!(!workspace.home("new").exists());
    raw.ask(CLOSE, &[&handles[7].body]).await;
    assert_eq!(raw.ask(OPEN, &[&create(b"new")]).await.kind, 102);
    assert_eq!(raw.end().await.1, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_leaves_no_server_behind() {
    let workspace = Workspace::start().await;
    let mut raw = Raw::start(&workspace).await;
    // As when a named pipe is opened that nobody writes to: the session hangs, and is ended all the same.
    assert!(std::process::Command::new("mkfifo").arg(workspace.home("pipe")).status().unwrap().success());
    let pid = raw.ask(super::raw::READLINK, &[&string(b"/proc/self")]).await;
    let pid = String::from_utf8(pid.names().1.to_vec()).unwrap();
    raw.request(OPEN, &[&string(b"pipe"), &[0, 0, 0, 1], &NO_ATTRIBUTES]).await;
    assert!(crate::harness::lives(&pid));
    drop(raw);
    until("the server's end", || !crate::harness::lives(&pid)).await;
}
