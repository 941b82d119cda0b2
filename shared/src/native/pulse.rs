//! When a tunnel's end asks the other for a sign of life, and when it counts as dead. Pure: time is an argument.
//!
//! Each end keeps a pulse of its own and asks only where it has heard nothing, so that a healthy tunnel carries one
//! question a beat, whoever asks first. While streams are open a dead tunnel is found within five seconds; without any a
//! beat is slow and cheap, and still faster than NATs forget.

use std::time::Duration;
use tokio::time::Instant;

/// How closely a tunnel is watched.
struct Pace {
    /// Silence after which a sign of life is asked for.
    beat: Duration,
    /// How long it may take.
    patience: Duration,
}

/// While streams are open: dead within `beat + patience + LOOK`, which is under 5 s. Three seconds bear a loaded machine
/// and several lost packets.
const BUSY: Pace = Pace { beat: Duration::from_secs(1), patience: Duration::from_secs(3) };
/// Without any. Hasty NATs forget a flow after 30 s; a daemon that has crashed tells agents so at their next question, and all
/// are to be back within ten seconds. One question costs four packets.
const IDLE: Pace = Pace { beat: Duration::from_secs(5), patience: Duration::from_secs(10) };
/// Part of its patience after which an end tries another way to the other, once: a NAT may have forgotten this one.
const REROUTE: u32 = 3;
/// While an answer is awaited, anything that arrives is a sign of life: it is looked for this often.
const LOOK: Duration = Duration::from_millis(500);

/// One end's view of the other.
#[derive(Debug)]
pub struct Pulse {
    heard: Instant,
    asked: Option<Asked>,
}

/// A question that is open.
#[derive(Clone, Copy, Debug)]
struct Asked {
    since: Instant,
    /// How much had arrived by then.
    received: u64,
    rerouted: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing before then, unless something is heard or the number of streams changes.
    Wait(Instant),
    /// Ask for a sign of life.
    Ask,
    /// It is late: try another way.
    Reroute,
    /// It does not come any more.
    Dead,
}

impl Pulse {
    /// The other side was just heard.
    pub const fn new(now: Instant) -> Self {
        Self { heard: now, asked: None }
    }

    /// The other side said something.
    pub const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// `busy` where streams are open; `received` grows with anything that arrives, which bulk may bring where an answer is
    /// stuck behind it.
    pub fn beat(&mut self, now: Instant, busy: bool, received: u64) -> Beat {
        let pace = if busy { BUSY } else { IDLE };
        if self.asked.is_some_and(|asked| asked.received != received) {
            self.heard(now);
        }
        match &mut self.asked {
            Some(asked) if now >= asked.since + pace.patience => Beat::Dead,
            Some(asked) if !asked.rerouted && now >= asked.since + pace.patience / REROUTE => {
                asked.rerouted = true;
                Beat::Reroute
            }
            Some(asked) => Beat::Wait((now + LOOK).min(asked.since + pace.patience)),
            None if now >= self.heard + pace.beat => {
                self.asked = Some(Asked { since: now, received, rerouted: false });
                Beat::Ask
            }
            None => Beat::Wait(self.heard + pace.beat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Runs a pulse as its loop does until it wants something; `received` by time since the beginning.
    fn run(
        pulse: &mut Pulse,
        begin: Instant,
        mut now: Instant,
        busy: bool,
        received: impl Fn(Duration) -> u64,
    ) -> (Duration, Beat) {
        loop {
            match pulse.beat(now, busy, received(now - begin)) {
                Beat::Wait(until) => {
                    assert!(until > now, "a pulse that spins");
                    now = until;
                }
                done => return (now - begin, done),
            }
        }
    }

    #[test]
    fn a_silent_peer_is_dead_within_five_seconds_while_streams_are_open() {
        let begin = Instant::now();
        let mut pulse = Pulse::new(begin);
        assert_eq!(run(&mut pulse, begin, begin, true, |_| 0), (ms(1000), Beat::Ask));
        assert_eq!(run(&mut pulse, begin, begin + ms(1000), true, |_| 0), (ms(2000), Beat::Reroute));
        assert_eq!(run(&mut pulse, begin, begin + ms(2000), true, |_| 0), (ms(4000), Beat::Dead));
    }

    #[test]
    fn the_worst_case_is_a_last_packet_behind_the_question() {
        let begin = Instant::now();
        let mut pulse = Pulse::new(begin);
        let received = |since| u64::from(since > ms(1001));
        run(&mut pulse, begin, begin, true, received);
        let (asked, beat) = run(&mut pulse, begin, begin + ms(1000), true, received);
        assert_eq!(beat, Beat::Ask);
        let (rerouted, beat) = run(&mut pulse, begin, begin + asked, true, received);
        assert_eq!(beat, Beat::Reroute);
        let (dead, beat) = run(&mut pulse, begin, begin + rerouted, true, received);
        assert_eq!(beat, Beat::Dead);
        assert!(dead - ms(1001) <= ms(5000), "{dead:?}");
    }

    #[test]
    fn bulk_is_a_sign_of_life() {
        let begin = Instant::now();
        let mut pulse = Pulse::new(begin);
        let mut at = Duration::ZERO;
        for _ in 0..50 {
            let (next, beat) = run(&mut pulse, begin, begin + at, true, |since| since.as_millis() as u64 / 100);
            assert_eq!(beat, Beat::Ask);
            at = next;
        }
    }

    #[test]
    fn an_idle_tunnel_is_asked_every_five_seconds() {
        let begin = Instant::now();
        let mut pulse = Pulse::new(begin);
        assert_eq!(run(&mut pulse, begin, begin, false, |_| 0), (ms(5_000), Beat::Ask));
        pulse.heard(begin + ms(5_100));
        assert_eq!(run(&mut pulse, begin, begin + ms(5_100), false, |_| 0), (ms(10_100), Beat::Ask));
        let (rerouted, beat) = run(&mut pulse, begin, begin + ms(10_100), false, |_| 0);
        assert_eq!(beat, Beat::Reroute);
        assert_eq!(run(&mut pulse, begin, begin + rerouted, false, |_| 0), (ms(20_100), Beat::Dead));
    }

    #[test]
    fn the_first_stream_of_an_idle_tunnel_asks_at_once() {
        let begin = Instant::now();
        let mut pulse = Pulse::new(begin);
        let later = begin + ms(4_000);
        assert_eq!(pulse.beat(later, false, 0), Beat::Wait(begin + ms(5_000)));
        assert_eq!(pulse.beat(later, true, 0), Beat::Ask);
        assert_eq!(run(&mut pulse, begin, later, true, |_| 0), (ms(5_000), Beat::Reroute));
        assert_eq!(run(&mut pulse, begin, begin + ms(5_000), true, |_| 0), (ms(7_000), Beat::Dead));
    }
}
