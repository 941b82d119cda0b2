//! What `ssh` has no option for, said with russh's client: signals, orders of requests, many channels.

use crate::harness::{Workspace, line_in, lives, noise, text, until};
use russh::{
    ChannelMsg, Disconnect, Sig,
    client::{self, Handle},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

/// A client that trusts every server.
pub(crate) struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

pub(crate) async fn login(workspace: &Workspace) -> Handle<Trusting> {
    let key = Arc::new(load_secret_key(workspace.path("member"), None).unwrap());
    let mut session = client::connect(Arc::default(), ("127.0.0.1", workspace.port()), Trusting).await.unwrap();
    let tried = session.authenticate_publickey("user", PrivateKeyWithHashAlg::new(key, None)).await.unwrap();
    assert!(tried.success());
    session
}

/// All that came until the channel's end, in short.
async fn story(channel: &mut russh::Channel<client::Msg>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    while let Some(message) = channel.wait().await {
        all.push(match message {
            ChannelMsg::Data { data } => format!("out {}", text(&data).trim()),
            ChannelMsg::ExtendedData { data, ext } => format!("ext{ext} {}", text(&data).trim()),
            ChannelMsg::ExitStatus { exit_status } => format!("status {exit_status}"),
            ChannelMsg::ExitSignal { signal_name, core_dumped, .. } => format!("signal {signal_name:?} {core_dumped}"),
            ChannelMsg::Success => "success".into(),
            ChannelMsg::Failure => "failure".into(),
            ChannelMsg::Eof => "eof".into(),
            ChannelMsg::Close => "close".into(),
            ChannelMsg::WindowAdjusted { .. } => continue,
            other => format!("{other:?}"),
        });
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_comes_in_order() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, "echo out; sleep 0.1; echo err >&2; sleep 0.1; exit 7").await.unwrap();
    assert_eq!(story(&mut channel).await, ["success", "out out", "ext1 err", "status 7", "eof", "close"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_whole_group_and_come_back_by_name() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    for (signal, told) in [(Sig::TERM, "signal TERM false"), (Sig::Custom("USR2".into()), "signal Custom(\"USR2\") false")] {
        let mut channel = session.channel_open_session().await.unwrap();
        channel.exec(false, "sleep 600 & echo started; wait").await.unwrap();
        assert!(matches!(channel.wait().await, Some(ChannelMsg::Data { .. })));
        channel.signal(signal).await.unwrap();
        // The end of file proves that `sleep`, which holds the pipe, is gone too.
        assert_eq!(story(&mut channel).await, [told, "eof", "close"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_program_on_a_channel_is_refused() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, "read line; echo $line").await.unwrap();
    assert!(matches!(channel.wait().await, Some(ChannelMsg::Success)));
    channel.request_shell(true).await.unwrap();
    assert!(matches!(channel.wait().await, Some(ChannelMsg::Failure)));
    channel.set_env(true, "LANG", "C").await.unwrap();
    assert!(matches!(channel.wait().await, Some(ChannelMsg::Failure)));
    channel.data(&b"still\n"[..]).await.unwrap();
    assert_eq!(story(&mut channel).await, ["out still", "status 0", "eof", "close"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_comes_before_the_program_is_kept() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let mut channel = session.channel_open_session().await.unwrap();
    channel.data(&b"early"[..]).await.unwrap();
    channel.eof().await.unwrap();
    channel.exec(false, "cat").await.unwrap();
    assert_eq!(story(&mut channel).await, ["out early", "status 0", "eof", "close"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_channel_hangs_its_program_up_and_no_other() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let mut stays = session.channel_open_session().await.unwrap();
    stays.exec(false, "read line; echo $line").await.unwrap();
    let channel = session.channel_open_session().await.unwrap();
    channel.exec(false, "echo $$ > pid; exec sleep 600").await.unwrap();
    let pid = line_in(&workspace.home("pid")).await;
    channel.close().await.unwrap();
    until("the program's end", || !lives(&pid)).await;
    stays.data(&b"here\n"[..]).await.unwrap();
    assert_eq!(story(&mut stays).await, ["out here", "status 0", "eof", "close"]);
}

/// Ends the connection once all that was sent is handled: the next answer says so.
async fn leave(session: Handle<Trusting>) {
    session.channel_open_session().await.unwrap();
    session.disconnect(Disconnect::ByApplication, "", "").await.unwrap();
}

/// What `line` leaves in the file `got`, whose client sends `input`, closes the channel, and where it `leaves` the connection too.
async fn left_behind(line: &str, input: &[u8], leaves: bool) -> Vec<u8> {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let channel = session.channel_open_session().await.unwrap();
    channel.exec(false, line).await.unwrap();
    channel.data(input).await.unwrap();
    channel.close().await.unwrap();
    if leaves {
        leave(session).await;
    }
    until(&format!("the end of {line}"), || workspace.home("done").exists()).await;
    fs::read(workspace.home("got")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_channel_was_closed_is_its_programs() {
    let input = noise(1 << 20);
    for line in ["cat > got; touch done", "sleep 1; cat > got; touch done"] {
        for leaves in [false, true] {
            assert!(left_behind(line, &input, leaves).await == input, "{line}, {leaves}");
        }
    }
    assert_eq!(left_behind("echo ran > got; touch done", b"", false).await, b"ran\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_channel_is_closed_writes_to_nobody() {
    // Ended by SIGPIPE.
    assert_eq!(left_behind("yes; echo $? > got; touch done", b"", false).await, b"141\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_holds_up_no_stopping_server() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let channel = session.channel_open_session().await.unwrap();
    channel.exec(false, "echo $$ > pid; exec sleep 600").await.unwrap();
    let stays = session.channel_open_session().await.unwrap();
    stays.exec(false, "echo $$ > other; exec sleep 600").await.unwrap();
    let (pid, other) = (line_in(&workspace.home("pid")).await, line_in(&workspace.home("other")).await);
    channel.data(&noise(1 << 20)[..]).await.unwrap();
    channel.close().await.unwrap();
    leave(session).await;
    until("the connection's end", || !lives(&other)).await;
    let begun = Instant::now();
    workspace.stop().await;
    assert!(!lives(&pid) && begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_channels_work_until_the_cap_and_again_after_it() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let mut open = Vec::new();
    while open.len() < 256 {
        open.push(session.channel_open_session().await.unwrap());
    }
    let refused = session.channel_open_session().await.unwrap_err();
    assert!(matches!(refused, russh::Error::ChannelOpenFailure(russh::ChannelOpenFailure::ResourceShortage)), "{refused:?}");
    // One that ends by itself, as programs do, makes room as well as one that the client closes.
    let mut ended = open.pop().unwrap();
    ended.exec(false, "true").await.unwrap();
    story(&mut ended).await;
    open.pop().unwrap().close().await.unwrap();
    for _ in 0..2 {
        let mut channel = retry(&session).await;
        channel.exec(false, "echo again").await.unwrap();
        assert_eq!(story(&mut channel).await[0], "out again");
    }
}

/// As many as may be, over four connections.
async fn all_sessions(workspace: &Workspace) -> (Vec<Handle<Trusting>>, Vec<russh::Channel<client::Msg>>) {
    let (mut connections, mut open) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let session = login(workspace).await;
        for _ in 0..256 {
            open.push(session.channel_open_session().await.unwrap());
        }
        connections.push(session);
    }
    (connections, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_counted_over_all_connections() {
    let workspace = Workspace::start().await;
    let (mut connections, _open) = all_sessions(&workspace).await;
    let one_more = login(&workspace).await;
    let refused = one_more.channel_open_session().await.unwrap_err();
    assert!(matches!(refused, russh::Error::ChannelOpenFailure(russh::ChannelOpenFailure::ResourceShortage)), "{refused:?}");
    let output = workspace.run_with(&["-oLogLevel=INFO"], "true", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    let told = "open failed: resource shortage: too many sessions are open in this workspace: end some";
    assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    connections.pop().unwrap().disconnect(Disconnect::ByApplication, "", "").await.unwrap();
    let mut channel = retry(&one_more).await;
    channel.exec(false, "echo again").await.unwrap();
    assert_eq!(story(&mut channel).await[0], "out again");
}

/// More than may be closed by us and not by the client (`limits::LEFTOVERS`): a client that answers has none of them.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_runs_any_number_of_commands() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    for _ in 0..11 {
        let runs = (0..100).map(|_| async {
            let mut channel = session.channel_open_session().await.unwrap();
            channel.exec(false, "true").await.unwrap();
            story(&mut channel).await;
        });
        futures_util::future::join_all(runs).await;
    }
    assert!(session.channel_open_session().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_place_ends_with_its_program_though_nothing_more_is_opened_on_its_connection() {
    let workspace = Workspace::start().await;
    let (_connections, mut open) = all_sessions(&workspace).await;
    let other = login(&workspace).await;
    assert!(other.channel_open_session().await.is_err());
    for mut ended in open.drain(..2) {
        ended.exec(false, "true").await.unwrap();
        story(&mut ended).await;
    }
    let _both = [retry(&other).await, retry(&other).await];
    assert!(other.channel_open_session().await.is_err());
}

/// A program's end is told just before its place is free.
async fn retry(session: &Handle<Trusting>) -> russh::Channel<client::Msg> {
    for _ in 0..100 {
        if let Ok(channel) = session.channel_open_session().await {
            return channel;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no room was made");
}
