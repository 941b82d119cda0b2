//! Who may log in: the whole decision, apart from russh's part of it, the signature.

use super::{Authorize, accounts::NoLogin, limits};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::UserId,
    native::ssh::{is_of, is_sha1},
};
use russh::keys::{Algorithm, PublicKey};
use std::mem;
use tokio::time::timeout;

/// A key that may log in, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: UserId,
    pub(super) key: Fingerprint,
}

/// Why a login is refused. The text is for the log and, where the key was good, for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denial {
    /// RFC 8332: such a signature can be forged.
    #[error("a SHA-1 signature (ssh-rsa); clients from 2016 on sign with rsa-sha2-256 or rsa-sha2-512")]
    Sha1,
    /// Not even a try.
    #[error("the key is of another kind than the request says")]
    Kind,
    /// Not in the verified document.
    #[error("the key belongs to no member of this workspace")]
    UnknownKey,
    /// The authorizer gave no answer.
    #[error("the key could not be looked up in time")]
    LookUp,
    /// A good key with a name that is no login.
    #[error(transparent)]
    Name(#[from] NoLogin),
    /// Only plain keys are known.
    #[error("certificates are not accepted: register the key itself")]
    Certificate,
}

/// Whether `key`, signing with `algorithm`, may log in under any name. `refreshed` is the connection's: whether it has had its look-up.
pub(super) async fn key<A: Authorize>(
    authorizer: &A,
    refreshed: &mut bool,
    key: &PublicKey,
    algorithm: &Algorithm,
) -> Result<Login, Denial> {
    if is_sha1(algorithm) {
        return Err(Denial::Sha1);
    }
    if !is_of(algorithm, key) {
        return Err(Denial::Kind);
    }
    let key = Fingerprint::of(key);
    let user = whose(authorizer, refreshed, &key).await?.ok_or(Denial::UnknownKey)?;
    Ok(Login { user, key })
}

/// A key that is news to this agent is looked up once more, once a connection: what the look-up brought decides about all others.
async fn whose<A: Authorize>(authorizer: &A, refreshed: &mut bool, key: &Fingerprint) -> Result<Option<UserId>, Denial> {
    let user = authorizer.knows(key);
    if user.is_some() || mem::replace(refreshed, true) {
        return Ok(user);
    }
    timeout(limits::AUTHORIZE_DEADLINE, authorizer.refresh()).await.map_err(|_| Denial::LookUp)?;
    Ok(authorizer.knows(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::revocation::Revocation;
    use russh::keys::{HashAlg, PrivateKey, key::safe_rng};
    use std::{
        future::pending,
        sync::{Arc, Mutex},
    };

    #[derive(Clone)]
    enum Book {
        Holds(Fingerprint),
        Growing(Arc<Mutex<News>>),
        Silent,
    }

    /// What is known, what a look-up brings, and how many there were.
    #[derive(Default)]
    struct News {
        known: Vec<Fingerprint>,
        fresh: Vec<Fingerprint>,
        rounds: u32,
    }

    impl Authorize for Book {
        fn knows(&self, key: &Fingerprint) -> Option<UserId> {
            let known = match self {
                Self::Holds(known) => known == key,
                Self::Growing(news) => news.lock().unwrap().known.contains(key),
                Self::Silent => false,
            };
            known.then(|| "alice".parse().unwrap())
        }

        async fn refresh(&self) {
            match self {
                Self::Holds(_) => {}
                Self::Growing(news) => {
                    let News { known, fresh, rounds } = &mut *news.lock().unwrap();
                    known.append(fresh);
                    *rounds += 1;
                }
                Self::Silent => pending().await,
            }
        }

        async fn revoked(&self, _: &Fingerprint, _: &UserId) -> Revocation {
            pending().await
        }
    }

    const RSA: &str = concat!(
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCncuxlBvglr+U7WhJC6pW9kd2PjxPXQB0Q369kuvPsMXrtBoYnXUpWXK1LdVTMCd9F6LNr5i",
        "4PWxzkFVBOVFa+AWVAl4HvxZjY3ICswDqfoyb+j7l/agz6qYrwCpOsl8Yjt1+bgpRRHokpS43sexbfDTfImzijjpywKFxXEl+HXkkUQWB1WfIo",
        "QvbBmJ3UB06L23iX50KqGTTASnHH2IiHnlebqRMQgGS9SKrehGuwqRsSaSixGLEmoogeZ6R/fQC9xdVQr+iSa85v8BJVrX0XzyQbge9od+c8eF",
        "h5B+ZcBoFqQ2ltBHmg77I2GG6leRIv7h/4CeYlDDN8FNubaOLB",
    );

    fn public() -> PublicKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap().public_key().clone()
    }

    #[tokio::test]
    async fn a_key_is_who_the_book_says() {
        let (known, stranger) = (public(), public());
        let book = Book::Holds(Fingerprint::of(&known));
        let login = key(&book, &mut false, &known, &Algorithm::Ed25519).await.unwrap();
        assert_eq!((login.user.as_str(), login.key), ("alice", Fingerprint::of(&known)));
        assert_eq!(key(&book, &mut false, &stranger, &Algorithm::Ed25519).await, Err(Denial::UnknownKey));
    }

    #[tokio::test]
    async fn sha1_is_refused_and_sha2_is_not() {
        let known = PublicKey::from_openssh(RSA).unwrap();
        let book = Book::Holds(Fingerprint::of(&known));
        assert_eq!(key(&book, &mut false, &known, &Algorithm::Rsa { hash: None }).await, Err(Denial::Sha1));
        assert!(key(&book, &mut false, &known, &Algorithm::Rsa { hash: Some(HashAlg::Sha256) }).await.is_ok());
    }

    #[tokio::test]
    async fn a_key_of_another_kind_than_is_said_is_refused() {
        let known = public();
        let book = Book::Holds(Fingerprint::of(&known));
        for other in [Algorithm::Dsa, Algorithm::SkEd25519, Algorithm::Rsa { hash: Some(HashAlg::Sha512) }] {
            assert_eq!(key(&book, &mut false, &known, &other).await, Err(Denial::Kind));
        }
    }

    #[tokio::test]
    async fn the_first_strange_key_of_a_connection_is_looked_up_and_what_it_brought_counts_for_all() {
        let (early, late, strangers) = (public(), public(), [public(), public(), public()]);
        let news = Arc::new(Mutex::new(News { fresh: vec![Fingerprint::of(&early)], ..News::default() }));
        let (book, mut refreshed) = (Book::Growing(news.clone()), false);
        for stranger in &strangers {
            assert_eq!(key(&book, &mut refreshed, stranger, &Algorithm::Ed25519).await, Err(Denial::UnknownKey));
        }
        assert!(key(&book, &mut refreshed, &early, &Algorithm::Ed25519).await.is_ok());
        assert_eq!(key(&book, &mut refreshed, &late, &Algorithm::Ed25519).await, Err(Denial::UnknownKey));
        news.lock().unwrap().known.push(Fingerprint::of(&late));
        assert!(key(&book, &mut refreshed, &late, &Algorithm::Ed25519).await.is_ok(), "whatever is held counts");
        assert_eq!(news.lock().unwrap().rounds, 1, "one look-up a connection");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_authorizer_is_not_waited_for() {
        assert_eq!(key(&Book::Silent, &mut false, &public(), &Algorithm::Ed25519).await, Err(Denial::LookUp));
    }
}
