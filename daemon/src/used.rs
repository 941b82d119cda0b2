//! Which keys were used: noted at each granted login in a bounded table, told to the edge in batches each minute, never
//! waited for.

use crate::limits::{FAREWELL, MAX_USED_KEYS, USED_KEEP, USED_PAUSE};
use drawbridge_shared::{
    api::{MAX_USED, UsedKey, UsedKeys},
    backoff::spread,
    fingerprint::Fingerprint,
    id::UserId,
    native::{
        clock,
        edge_client::{EdgeClient, EdgeFault},
    },
    time::Timestamp,
    trouble::{Trouble, Turn},
};
use rand::RngExt;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The table; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    last: HashMap<(UserId, Fingerprint), Timestamp>,
    dropped: usize,
}

impl Used {
    /// `user` logged in with `key` in the minute of `now`.
    pub(crate) fn note(&self, user: &UserId, key: Fingerprint, now: Timestamp) {
        let minute = Timestamp::from_unix(now.as_unix() / 60 * 60);
        self.lock().note((user.clone(), key), minute);
    }

    /// Up to [`MAX_USED`] of them, taken out.
    fn take(&self) -> Vec<UsedKey> {
        let mut table = self.lock();
        let taken = table.last.extract_if(|_, _| true).take(MAX_USED);
        taken.map(|((user, key), used_at)| UsedKey { user, public_key_fingerprint: key, used_at }).collect()
    }

    /// Those that could not be told, unless it is too late for them or a later use is known.
    fn put_back(&self, untold: Vec<UsedKey>, now: Timestamp) {
        let mut table = self.lock();
        for UsedKey { user, public_key_fingerprint, used_at } in untold {
            if now.since(used_at) < USED_KEEP { table.note((user, public_key_fingerprint), used_at) } else { table.dropped += 1 }
        }
    }

    /// How many were dropped since the last question.
    fn dropped(&self) -> usize {
        std::mem::take(&mut self.lock().dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn note(&mut self, key: (UserId, Fingerprint), at: Timestamp) {
        let room = self.last.len() < MAX_USED_KEYS;
        match self.last.get_mut(&key) {
            Some(last) => *last = at.max(*last),
            None if room => drop(self.last.insert(key, at)),
            None => self.dropped += 1,
        }
    }
}

/// Tells the edge each minute or so until `stop`, and then once more.
pub(crate) async fn report(used: Used, edge: EdgeClient, stop: CancellationToken) {
    let mut trouble = Trouble::default();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            () = time::sleep(spread(USED_PAUSE, rand::rng().random())) => note(&mut trouble, tell(&used, &edge).await),
        }
        match used.dropped() {
            0 => {}
            keys => warn!(keys, "the edge does not learn when these keys were used"),
        }
    }
    // What does not get there is lost: minutes of use, at a stop.
    let _ = time::timeout(FAREWELL, tell(&used, &edge)).await;
}

async fn tell(used: &Used, edge: &EdgeClient) -> Result<(), EdgeFault> {
    loop {
        let batch = UsedKeys { used: used.take() };
        if batch.used.is_empty() {
            return Ok(());
        }
        if let Err(fault) = edge.post("v1/daemon/used", &batch).await {
            used.put_back(batch.used, clock::now());
            return Err(fault);
        }
    }
}

fn note(trouble: &mut Trouble, told: Result<(), EdgeFault>) {
    match trouble.turn(told.err(), EdgeFault::kind) {
        Some(Turn::Fails(fault)) => warn!(%fault, "the edge does not learn which keys are used; tried again"),
        Some(Turn::Works) => info!("the edge learns again which keys are used"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::token::{Scope, Token};
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn user(n: usize) -> UserId {
        format!("user-{n}").parse().unwrap()
    }

    #[test]
    fn the_newest_use_of_each_key_is_told_once() {
        let used = Used::default();
        let later = NOW.after(Duration::from_secs(60));
        used.note(&user(1), Fingerprint([1; 32]), later);
        used.note(&user(1), Fingerprint([1; 32]), NOW);
        used.note(&user(1), Fingerprint([2; 32]), NOW.after(Duration::from_secs(59)));
        let mut told = used.take();
        told.sort_by_key(|key| key.public_key_fingerprint);
        let times: Vec<_> = told.iter().map(|key| key.used_at).collect();
        assert_eq!(times, [later, NOW]);
        assert_eq!(used.take(), []);
    }

    /// Takes one request as the edge would, answers with `status`, and returns its body.
    async fn answer(listener: TcpListener, status: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut complete = false;
        while !complete {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            complete = request.ends_with(b"}]}");
        }
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
        let text = String::from_utf8(request).unwrap();
        assert!(text.starts_with("POST /v1/daemon/used HTTP/1.1\r\n"), "{text}");
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// What the edge got, and what the telling came to.
    async fn told(used: &Used, status: &str) -> (String, Result<(), EdgeFault>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let edge = EdgeClient::new(url, Token::mint(Scope::Daemon, &[1; 32])).unwrap();
        tokio::join!(answer(listener, status), tell(used, &edge))
    }

    #[tokio::test]
    async fn the_edge_is_told_and_told_again_after_a_failure() {
        let used = Used::default();
        used.note(&user(1), Fingerprint([1; 32]), clock::now());
        let (first, failed) = told(&used, "503 Service Unavailable").await;
        assert!(matches!(failed, Err(EdgeFault::Refused { status: 503, .. })));
        let (second, done) = told(&used, "204 No Content").await;
        assert!(done.is_ok());
        assert_eq!(first, second);
        let report: UsedKeys = serde_json::from_str(&second).unwrap();
        assert_eq!((report.used.len(), &report.used[0].user), (1, &user(1)));
        assert_eq!(used.take(), []);
    }

    #[test]
    fn batches_and_the_table_are_bounded() {
        let used = Used::default();
        (0..MAX_USED_KEYS + 3).for_each(|n| used.note(&user(n), Fingerprint([1; 32]), NOW));
        assert_eq!(used.dropped(), 3);
        assert_eq!(used.dropped(), 0);
        assert_eq!(used.take().len(), MAX_USED);
    }

    #[test]
    fn what_was_not_told_waits_for_a_while() {
        let used = Used::default();
        used.note(&user(1), Fingerprint([1; 32]), NOW);
        let untold = used.take();
        let later = NOW.after(Duration::from_secs(60));
        used.note(&user(1), Fingerprint([1; 32]), later);
        used.put_back(untold, later);
        let untold = used.take();
        assert_eq!(untold[0].used_at, later, "an older use hides no newer one");
        used.put_back(untold, later.after(USED_KEEP));
        assert_eq!((used.take().len(), used.dropped()), (0, 1));
    }
}
