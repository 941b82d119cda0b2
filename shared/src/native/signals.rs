//! The signals that end a program: the first has it stop, the second ends it.

use std::{convert::Infallible, fs, future::Future, io};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a program is told to end.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Fires when nothing new is to begin.
    pub stop: CancellationToken,
    /// Fires when what runs is to end now.
    pub end: CancellationToken,
}

/// What SIGHUP is to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The end of its terminal, and so its own, unless it was started by `nohup`.
    Stops,
    /// Nothing: those who send it to daemons mean that files be opened again.
    Nothing,
}

impl Tokens {
    /// Hears SIGTERM, Ctrl-C and SIGHUP from now on; what is returned fires the tokens.
    pub fn heed(self, hang_up: HangUp) -> io::Result<impl Future<Output = Infallible>> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hung_up = hang_up.ear()?;
        Ok(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    () = heard(&mut hung_up) => {
                        // Shell and terminal both say it: the second is not a second wish.
                        if hang_up == HangUp::Stops {
                            self.stop.cancel();
                        }
                        continue;
                    }
                }
                if self.stop.is_cancelled() {
                    self.end.cancel();
                }
                self.stop.cancel();
            }
        })
    }
}

impl HangUp {
    /// Whoever has none is not ended by the signal either: it is ignored.
    fn ear(self) -> io::Result<Option<Signal>> {
        if self == Self::Stops && is_ignored() { Ok(None) } else { signal(SignalKind::hangup()).map(Some) }
    }
}

async fn heard(ear: &mut Option<Signal>) {
    match ear {
        Some(ear) => drop(ear.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether this process ignores SIGHUP, as whoever started it had it do.
fn is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    /// What a hang-up fires, and whether this process lives on.
    async fn fires(hang_up: HangUp) -> (bool, bool) {
        let mut heard = signal(SignalKind::hangup()).unwrap();
        let tokens = Tokens::default();
        let heeding = tokens.clone().heed(hang_up).unwrap();
        let hang_up_twice = async {
            for _ in 0..2 {
                kill_process(getpid(), Signal::HUP).unwrap();
                heard.recv().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = hang_up_twice => {}
            never = heeding => match never {},
        }
        (tokens.stop.is_cancelled(), tokens.end.is_cancelled())
    }

    #[tokio::test]
    async fn a_hang_up_stops_an_agent_and_is_nothing_to_a_daemon() {
        assert_eq!(fires(HangUp::Nothing).await, (false, false));
        assert_eq!(fires(HangUp::Stops).await, (true, false));
    }
}
