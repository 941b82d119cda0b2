//! A server's own host certificate: fetched from the edge, checked, kept, and replaced well before it ends. Never a reason
//! to stop: without one, the plain host key stands.

use super::{
    clock,
    edge_client::{EdgeClient, EdgeFault, Fetched},
    identity::PublicIdentity,
    state_dir::{StateDir, StateFault},
};
use crate::{
    api::HostCertificate,
    backoff::{Backoff, spread},
    outage::CLOCK_SKEW,
    time::Timestamp,
    trouble::{Trouble, Turn},
};
use rand::RngExt;
use ssh_key::{Certificate, certificate::CertType};
use std::time::Duration;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// File of the state folder that holds the certificate.
const FILE: &str = "host-certificate";
/// Longest certificate, in bytes: a hundred principals.
const MAX_CERTIFICATE: usize = 16 * 1024;
/// Between tries, with full jitter: from, and to. Nothing hangs on it, and an edge without a host CA says no for ever.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));
/// News from the directory reach all at once; each asks within this time.
const NEWS_SPREAD: Duration = Duration::from_secs(2);
/// An edge that always answers with one that is due already is asked no oftener than this.
const SHORTEST_WAIT: Duration = Duration::from_secs(60);
/// However far away the end is, a certificate is looked after this often.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// When the edge is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// So much later.
    In(Duration),
    /// At that time of day, however long the machine is suspended until then.
    At(Timestamp),
}

/// Why a certificate is not shown to anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Not one.
    #[error("it cannot be read")]
    Unreadable,
    /// For users.
    #[error("it is no host certificate")]
    NotAHost,
    /// Of another key.
    #[error("it is another key's")]
    Foreign,
    /// Its own signature does not hold, whoever the CA is.
    #[error("its signature does not hold")]
    Forged,
    /// Before its time, or past it.
    #[error("it is good from {0} to {1} only")]
    Time(Timestamp, Timestamp),
}

/// There is no new certificate.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Edge(#[from] EdgeFault),
    #[error("the edge's certificate is refused: {0}")]
    Certificate(#[from] CertificateFault),
}

/// Owns the loop that keeps a server's certificate current.
#[derive(Debug)]
pub struct Renewal {
    edge: EdgeClient,
    path: &'static str,
    key: PublicIdentity,
    state: StateDir,
    held: Option<Certificate>,
    /// From an earlier process.
    is_kept: bool,
    /// The line of one that is shown and not on disk yet.
    unsaved: Option<String>,
    trouble: Option<String>,
    disk: Trouble,
}

/// Reads `line` and checks that it certifies `key` as a host's at `now`. Whether its CA is trusted is for clients to judge.
pub fn check(line: &str, key: PublicIdentity, now: Timestamp) -> Result<Certificate, CertificateFault> {
    if line.len() > MAX_CERTIFICATE {
        return Err(CertificateFault::Unreadable);
    }
    let certificate = Certificate::from_openssh(line.trim()).map_err(|_| CertificateFault::Unreadable)?;
    if certificate.cert_type() != CertType::Host {
        return Err(CertificateFault::NotAHost);
    }
    if certificate.public_key() != key.ssh().key_data() {
        return Err(CertificateFault::Foreign);
    }
    certificate.verify_signature().map_err(|_| CertificateFault::Forged)?;
    let (from, to) = validity(&certificate);
    if from > now.after(CLOCK_SKEW) || to <= now { Err(CertificateFault::Time(from, to)) } else { Ok(certificate) }
}

fn validity(certificate: &Certificate) -> (Timestamp, Timestamp) {
    (Timestamp::from_unix(certificate.valid_after()), Timestamp::from_unix(certificate.valid_before()))
}

/// How long after `now` a new one is due: at two thirds of its time, more or less, so that not all ask at once.
fn due(certificate: &Certificate, now: Timestamp, chance: f64) -> Duration {
    let (from, to) = validity(certificate);
    let renewed = from.after(spread(to.since(from).mul_f64(2.0 / 3.0), chance));
    renewed.since(now).min(LONGEST_WAIT)
}

impl Next {
    async fn comes(self) {
        match self {
            Self::In(wait) => time::sleep(wait).await,
            // By both clocks: the wall's may have been far ahead when this was reckoned.
            Self::At(moment) => drop(time::timeout(LONGEST_WAIT, clock::reached(moment)).await),
        }
    }
}

impl Renewal {
    /// Of the server that proves itself with `key`; the edge answers at `path`. What was kept is good until it ends.
    pub fn open(edge: EdgeClient, path: &'static str, key: PublicIdentity, state: StateDir) -> Self {
        let kept = state.read(FILE, MAX_CERTIFICATE as u64).ok().flatten();
        let held = kept.and_then(|line| check(&String::from_utf8_lossy(&line), key, clock::now()).ok());
        Self { edge, path, key, state, is_kept: held.is_some(), held, unsaved: None, trouble: None, disk: Trouble::default() }
    }

    /// The certificate to start with.
    pub const fn held(&self) -> Option<&Certificate> {
        self.held.as_ref()
    }

    /// Takes one that came by another way.
    pub fn offer(&mut self, certificate: &HostCertificate) {
        let taken = self.take(certificate);
        self.save();
        self.note(taken.err());
    }

    /// Hands every new certificate to `present` until `stop`; asks anew, too, whenever `news` comes.
    pub async fn run(mut self, present: impl Fn(Certificate), mut news: impl AsyncFnMut(), stop: CancellationToken) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut next = self.first(clock::now(), rand::rng().random());
        loop {
            let moment = NEWS_SPREAD.mul_f64(rand::rng().random());
            tokio::select! {
                () = stop.cancelled() => return,
                () = next.comes() => {}
                () = async { news().await; time::sleep(moment).await } => backoff = Backoff::new(RETRY.0, RETRY.1),
            }
            let fetched = tokio::select! {
                () = stop.cancelled() => return,
                fetched = self.fetch() => fetched,
            };
            next = match &fetched {
                Ok(certificate) => {
                    present(certificate.clone());
                    self.save();
                    backoff = Backoff::new(RETRY.0, RETRY.1);
                    let now = clock::now();
                    Next::At(now.after(due(certificate, now, rand::rng().random()).max(SHORTEST_WAIT)))
                }
                Err(_) => Next::In(backoff.after(Duration::ZERO, rand::rng().random())),
            };
            self.note(fetched.err());
        }
    }

    /// One that a process before this one kept may lack a name that the edge has for the host by now.
    fn first(&self, now: Timestamp, chance: f64) -> Next {
        match &self.held {
            None => Next::In(Duration::ZERO),
            Some(_) if self.is_kept => Next::In(NEWS_SPREAD.mul_f64(chance)),
            Some(held) => Next::At(now.after(due(held, now, chance))),
        }
    }

    async fn fetch(&mut self) -> Result<Certificate, Fault> {
        let answer = self.edge.get(self.path, None, 2 * MAX_CERTIFICATE).await?;
        let Fetched::New { body, .. } = answer else { return Err(EdgeFault::Unreadable.into()) };
        let certificate = serde_json::from_slice(&body).map_err(|_| EdgeFault::Unreadable)?;
        self.take(&certificate)
    }

    fn take(&mut self, answer: &HostCertificate) -> Result<Certificate, Fault> {
        let certificate = check(&answer.certificate, self.key, clock::now())?;
        info!(until = %validity(&certificate).1, principals = ?certificate.valid_principals(), "host certificate taken");
        self.held = Some(certificate.clone());
        self.is_kept = false;
        self.unsaved = Some(answer.certificate.clone());
        Ok(certificate)
    }

    /// It is shown already: nothing waits for a disk.
    fn save(&mut self) {
        let Some(line) = self.unsaved.take() else { return };
        let saved = self.state.write(FILE, line.as_bytes());
        if let Some(Turn::Fails(fault)) = self.disk.turn(saved.err(), StateFault::to_string) {
            warn!(%fault, "the host certificate is shown and not saved: the next start asks the edge for another");
        }
    }

    /// Logs trouble when it starts and changes, not at every try.
    fn note(&mut self, fault: Option<Fault>) {
        let trouble = fault.map(|fault| fault.to_string());
        if trouble != self.trouble {
            if let Some(fault) = &trouble {
                warn!(%fault, "no new host certificate; the one held stands, or the plain host key");
            }
            self.trouble = trouble;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        native::identity::Identity,
        token::{Scope, Token},
    };
    use ssh_key::certificate::Builder;
    use std::future::pending;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::mpsc,
    };

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const HOUR: u64 = 3600;

    fn key(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    /// A certificate of `seed`'s key by a CA, good from an hour before `now` for `hours` in all.
    fn certificate(seed: u8, kind: CertType, now: Timestamp, hours: u64) -> Certificate {
        let from = now.as_unix() - HOUR;
        let mut builder = Builder::new([7; 16], key(seed).public().ssh().key_data().clone(), from, from + hours * HOUR).unwrap();
        builder.cert_type(kind).unwrap().valid_principal("ws-796636").unwrap();
        builder.sign(&key(99).ssh()).unwrap()
    }

    fn checked(certificate: &Certificate) -> Result<Certificate, CertificateFault> {
        check(&certificate.to_openssh().unwrap(), key(1).public(), NOW)
    }

    #[test]
    fn only_ones_own_current_host_certificate_is_shown() {
        let good = certificate(1, CertType::Host, NOW, 168);
        assert_eq!(checked(&good), Ok(good));
        assert_eq!(checked(&certificate(2, CertType::Host, NOW, 168)), Err(CertificateFault::Foreign));
        assert_eq!(checked(&certificate(1, CertType::User, NOW, 168)), Err(CertificateFault::NotAHost));
        assert!(matches!(checked(&certificate(1, CertType::Host, NOW, 1)), Err(CertificateFault::Time(..))));
        let early = NOW.after(Duration::from_secs(2 * HOUR));
        assert!(matches!(checked(&certificate(1, CertType::Host, early, 168)), Err(CertificateFault::Time(..))));
        assert_eq!(check("ssh-ed25519 AAAA", key(1).public(), NOW), Err(CertificateFault::Unreadable));
    }

    #[test]
    fn a_new_one_is_due_around_two_thirds() {
        let held = certificate(1, CertType::Host, NOW, 13);
        let hours = |chance| due(&held, NOW, chance).as_secs() / 60;
        assert_eq!([0.0, 0.5, 1.0].map(hours), [330, 460, 590]);
        assert_eq!(due(&held, NOW.after(Duration::from_secs(12 * HOUR)), 1.0), Duration::ZERO);
        assert_eq!(due(&certificate(1, CertType::Host, NOW, 999), NOW, 0.5), LONGEST_WAIT);
    }

    fn renewal(edge: &str, state: &StateDir, seed: u8) -> Renewal {
        let client = EdgeClient::new(edge.parse().unwrap(), Token::mint(Scope::Agent, &[1; 32])).unwrap();
        Renewal::open(client, "v1/agent/host-certificate", key(seed).public(), state.clone())
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        (folder, state)
    }

    fn answer(certificate: &Certificate) -> HostCertificate {
        let valid_before = Timestamp::from_unix(certificate.valid_before());
        HostCertificate { certificate: certificate.to_openssh().unwrap(), valid_before }
    }

    #[test]
    fn what_was_kept_is_shown_after_a_restart() {
        let (_folder, state) = state();
        let open = |seed| renewal("http://127.0.0.1:1", &state, seed);
        let mut renewal = open(1);
        assert_eq!(renewal.held(), None);
        let good = certificate(1, CertType::Host, clock::now(), 168);
        renewal.offer(&answer(&good));
        renewal.offer(&answer(&certificate(2, CertType::Host, clock::now(), 168)));
        assert_eq!(open(1).held(), Some(&good));
        assert_eq!(open(2).held(), None);
        assert!(matches!(open(1).first(NOW, 1.0), Next::In(NEWS_SPREAD)), "it may lack a name");
        let now = clock::now();
        assert_eq!(renewal.first(now, 0.5), Next::At(now.after(LONGEST_WAIT)), "by the time of day");
    }

    /// A folder in the file's place fails every save, and root's too.
    #[tokio::test]
    async fn what_cannot_be_saved_is_shown_all_the_same() {
        let (_folder, state) = state();
        std::fs::create_dir(state.path(FILE)).unwrap();
        let good = certificate(1, CertType::Host, clock::now(), 168);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let renewal = renewal(&format!("http://{}", listener.local_addr().unwrap()), &state, 1);
        let (stop, (shown, mut seen)) = (CancellationToken::new(), mpsc::channel(1));
        let present = |certificate| shown.try_send(certificate).unwrap();
        let edge = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap() > 0);
            let body = serde_json::to_string(&answer(&good)).unwrap();
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())
                .await
                .unwrap();
            assert_eq!(seen.recv().await, Some(good.clone()));
            stop.cancel();
        };
        tokio::join!(edge, renewal.run(present, async || pending().await, stop.clone()));
    }
}
