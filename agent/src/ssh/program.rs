//! One session's program from its start to its end, its input and output carried in between.

use super::{
    Peer,
    account::Account,
    aside::{aside, soon},
    call::Call,
    departure::Departure,
    environment,
    executable::Executable,
    group::{self, Group},
    limits,
    lookout::Lookout,
    notices::Notices,
    pty::Terminal,
    session::{Launch, Program},
    sink::{Ending, Lost, Sink, Stream},
    spawn,
    startup::Startup,
    wide::Wide,
};
use bytes::{Bytes, BytesMut};
use drawbridge_shared::native::backlog::Outlet;
use std::{
    future::pending,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    process::ExitStatus,
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    join,
    process::{Child, ChildStderr, ChildStdout},
    select,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// What a client is told of a program whose end the kernel does not tell.
const UNKNOWN: u32 = 255;
/// What sshd's child ends with when `nologin` is there.
const NOBODY_MAY: u32 = 254;

/// Turns of those that fork.
static STARTING: Semaphore = Semaphore::const_new(limits::STARTING);

/// What others may reach of a running program; it is gone when its task is.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) group: Group,
    pub(super) terminal: Option<Terminal>,
    /// Fires when the client takes no more of its standard output.
    pub(super) unheard: CancellationToken,
}

/// All that one program needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) account: Arc<Account>,
    pub(super) notices: Arc<Notices>,
    pub(super) startup: Arc<Startup>,
    pub(super) lookout: Arc<Lookout>,
    /// Runs scripts of `startup`.
    pub(super) agent: Option<Executable>,
    pub(super) peer: Peer,
    pub(super) launch: Launch,
    pub(super) process: Arc<Process>,
    /// The program's end of `process.terminal`.
    pub(super) slave: Option<OwnedFd>,
    pub(super) stdin: Outlet,
    pub(super) sink: Sink,
    pub(super) departure: Departure,
    /// Among all connections' sessions.
    pub(super) place: OwnedSemaphorePermit,
}

/// Runs the program to its end, or hangs it up when the channel goes first.
pub(super) async fn run(mut job: Job) {
    let departure = job.departure.clone();
    let Some(may) = departure.while_wanted(welcome(&job)).await else { return };
    let ending = match may {
        Ok(()) => match start(&mut job).await {
            Some(Ok(child)) => return accompany(child, job).await,
            Some(Err(fault)) => refuse(&job, &fault).await,
            None => return,
        },
        Err(ending) => ending,
    };
    conclude(&job.sink, &departure, ending).await;
}

/// What comes before the program, as under sshd: the message of the day, and that nobody may log in now.
async fn welcome(job: &Job) -> Result<(), Ending> {
    if job.process.terminal.is_some() && job.launch.program == Program::Shell {
        let (notices, account, uid) = (job.notices.clone(), job.account.clone(), job.account.uid);
        // A home that does not answer hushes nobody, and its shell does not start.
        let message = soon(uid, move || notices.of_the_day(&account)).await.unwrap_or_default();
        tell(job, Stream::Out, message).await;
    }
    match job.notices.nobody_may(&job.account) {
        Some(why) => {
            tell(job, Stream::Err, why).await;
            Err(Ending::Status(NOBODY_MAY))
        }
        None => Ok(()),
    }
}

/// Says something that the program does not, as a terminal would show it where there is one.
async fn tell(job: &Job, stream: Stream, text: Vec<u8>) {
    let said = match &job.process.terminal {
        Some(terminal) => job.sink.send(Stream::Out, terminal.shown(text)),
        None => job.sink.send(stream, text),
    };
    let _lost: Option<Result<(), Lost>> = job.departure.while_heard(said).await;
}

/// On a thread of its own: whoever forks waits until the child has become its program, and a busy machine lets it wait for long; or for
/// ever, where its home does not answer. `None` if the channel went before its turn.
async fn start(job: &mut Job) -> Option<io::Result<Child>> {
    let turn = job.departure.while_wanted(STARTING.acquire()).await?;
    let tty = job.process.terminal.as_ref().map(Terminal::path);
    let environment = environment::of(&job.account, &job.peer, &job.launch, tty);
    let (account, program, slave) = (job.account.clone(), job.launch.program.clone(), job.slave.take());
    let (startup, agent) = (job.startup.clone(), job.agent.clone());
    let mut started = pin!(aside(job.account.uid, move || {
        let call = call(&account, &program, &startup, agent.as_ref());
        spawn::spawn(&account, call, environment, slave)
    }));
    let in_time = timeout(limits::TURN, &mut started).await;
    drop(turn);
    let done = match in_time {
        Ok(done) => done,
        Err(_) => started.await,
    };
    Some(done.flatten())
}

/// The program, after a script where there is one that can be run.
fn call(account: &Account, program: &Program, startup: &Startup, agent: Option<&Executable>) -> Call {
    let call = Call::of(account, program);
    let Some(script) = startup.script(account, program) else { return call };
    match agent.filter(|agent| agent.is_for(account)) {
        Some(agent) => script.before(call, agent),
        None => {
            tracing::warn!(
                account = account.name,
                "a start-up script is not run: the agent's file is not executable for its account"
            );
            call
        }
    }
}

async fn accompany(mut child: Child, job: Job) {
    let Job { process, stdin, sink, departure, lookout, place: _place, .. } = job;
    process.group.led_by(&child);
    let mut pipes = (child.stdout.take(), child.stderr.take());
    let fed = Notify::new();
    let attended = attend(&mut child, &mut pipes, &process, (stdin, &fed), &sink, &departure);
    let status = select! {
        biased;
        () = deserted(&departure, &fed) => None,
        status = attended => Some(status),
    };
    match status {
        Some(status) => conclude(&sink, &departure, ending(status)).await,
        None => {
            process.group.gone();
            drop(process);
            // The pipes stay open meanwhile: a shell that says "Hangup" into a closed one dies before its trap.
            group::hang_up(&child, &lookout).await;
            drop(pipes);
            group::reap(child).await;
        }
    }
}

/// Comes to an end when a program is to be hung up: at once where its connection ends. One whose client closed the channel is first
/// given what was sent before, as by sshd, and has time to make use of it.
async fn deserted(departure: &Departure, fed: &Notify) {
    departure.gone().await;
    if departure.is_closed() {
        let idles = async { while timeout(limits::CLOSE_GRACE, fed.notified()).await.is_ok() {} };
        departure.while_wanted(idles).await;
    }
}

fn ending(status: io::Result<ExitStatus>) -> Ending {
    status.map_or_else(
        |fault| {
            tracing::warn!(%fault, "a program's end cannot be learnt");
            Ending::Status(UNKNOWN)
        },
        Ending::from,
    )
}

async fn conclude(sink: &Sink, departure: &Departure, ending: Ending) {
    let _unheard = departure.while_heard(sink.finish(ending)).await;
}

/// Carries input and output until the program has ended and all its output is sent.
async fn attend(
    child: &mut Child,
    (output, errors): &mut (Option<ChildStdout>, Option<ChildStderr>),
    process: &Process,
    (stdin, fed): (Outlet, &Notify),
    sink: &Sink,
    departure: &Departure,
) -> io::Result<ExitStatus> {
    let input = child.stdin.take();
    let wait = async {
        let status = child.wait().await;
        process.group.gone();
        status
    };
    match &process.terminal {
        Some(terminal) => beside(type_into(stdin, terminal), show(terminal, &process.unheard, wait, sink)).await,
        None => {
            // As sshd, which waits for end of file: what still holds the pipes after the program's end may write to them.
            let heard = heard(process, output, sink, departure);
            let told = departure.while_heard(send(errors, Stream::Err, sink));
            let all = async { join!(wait, heard, told).0 };
            beside(feed(stdin, input, fed, sink), all).await
        }
    }
}

/// Standard output, for as long as the client takes it and has not closed its channel: then its reading end is closed.
async fn heard(process: &Process, output: &mut Option<ChildStdout>, sink: &Sink, departure: &Departure) {
    let all = process.unheard.run_until_cancelled(send(output, Stream::Out, sink));
    if departure.while_heard(all).await.is_some() || departure.is_closed() {
        *output = None;
    }
}

/// Runs `side` for as long as `main` takes.
async fn beside<T>(side: impl Future<Output = ()>, main: impl Future<Output = T>) -> T {
    let side = async {
        side.await;
        pending::<T>().await
    };
    select! {
        done = main => done,
        never = side => never,
    }
}

/// The client's data to a pipe, then its end of file; `fed` hears of each piece, and of the end. A program that reads no further does
/// not disturb the session: the rest is discarded, and a client that can is told to send none.
async fn feed(stdin: Outlet, pipe: Option<impl AsyncWrite + AsFd + Unpin>, fed: &Notify, sink: &Sink) {
    if let Some(pipe) = pipe
        && pour(stdin, pipe, fed).await.is_err()
    {
        sink.takes_no_more().await;
    }
    fed.notify_one();
}

async fn pour(mut stdin: Outlet, pipe: impl AsyncWrite + AsFd + Unpin, fed: &Notify) -> io::Result<()> {
    let mut pipe = Wide::once_busy(pipe);
    loop {
        let written = match stdin.fill_buf().await? {
            [] => return Ok(()),
            held => pipe.write(held).await?,
        };
        stdin.consume(written);
        fed.notify_one();
    }
}

/// The client's data to a terminal, for which end of file means nothing: the user's Ctrl-D is a byte.
async fn type_into(mut stdin: Outlet, terminal: &Terminal) {
    while let Ok(keys) = stdin.fill_buf().await {
        if keys.is_empty() {
            return;
        }
        let Ok(typed) = terminal.write(keys).await else { return };
        stdin.consume(typed);
    }
}

/// A pipe's contents to the client, to the last byte.
async fn send(pipe: &mut Option<impl AsyncRead + AsFd + Unpin>, stream: Stream, sink: &Sink) {
    let Some(open) = pipe else { return };
    carry(Wide::once_busy(open), stream, sink).await;
    *pipe = None;
}

async fn carry(mut pipe: impl AsyncRead + Unpin, stream: Stream, sink: &Sink) {
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() < limits::OUTPUT_ROOM {
            buffer.reserve(limits::OUTPUT_READ);
        }
        match pipe.read_buf(&mut buffer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        if sink.send(stream, buffer.split().freeze()).await.is_err() {
            return;
        }
    }
}

/// A terminal's contents to the client. Once the program has ended, what is there is sent, and a background
/// process that keeps the terminal open is not waited for. Where the client takes no more, nothing more is read: whoever writes on waits
/// until the terminal is hung up, as under sshd.
async fn show<T>(terminal: &Terminal, unheard: &CancellationToken, wait: impl Future<Output = T>, sink: &Sink) -> T {
    let ended = CancellationToken::new();
    let wait = async {
        let status = wait.await;
        ended.cancel();
        status
    };
    join!(wait, unheard.run_until_cancelled(screen(terminal, &ended, sink))).0
}

async fn screen(terminal: &Terminal, ended: &CancellationToken, sink: &Sink) {
    let mut buffer = vec![0; limits::OUTPUT_READ];
    loop {
        let read = select! {
            biased;
            read = terminal.read(&mut buffer) => read,
            () = ended.cancelled() => terminal.read_now(&mut buffer),
        };
        let Some(data) = read.ok().and_then(|n| buffer.get(..n)).filter(|data| !data.is_empty()) else { return };
        if sink.send(Stream::Out, Bytes::copy_from_slice(data)).await.is_err() {
            return;
        }
    }
}

/// The program was there at the login, or is the agent's own, and does not start: sshd's child says so and ends with 1.
async fn refuse(job: &Job, fault: &io::Error) -> Ending {
    let program = Call::of(&job.account, &job.launch.program).file;
    tracing::info!(program = %program.display(), %fault, "a program does not start");
    let told = format!("{}: {}\n", program.display(), spawn::reason(fault));
    let _lost: Option<Result<(), Lost>> = job.departure.while_heard(job.sink.send(Stream::Err, told)).await;
    Ending::Status(1)
}
