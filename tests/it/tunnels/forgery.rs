//! Only the daemon that opened a connection resumes it, once for each leg: the others are daemons of the same region, as
//! good in the directory, and played by the test.

use super::{Echo, Place};
use crate::{Run::Shared, Test};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use drawbridge_shared::{
    fingerprint::Fingerprint,
    native::{
        control,
        identity::Identity,
        quic::Acceptor,
        talk::Talk,
        tunnel::{Stream, Tunnel, TunnelReader},
    },
    tunnel::{
        NONCE,
        frame::Frame,
        instance::Instance,
        open::Open,
        resume::{
            frame::{Answer, Resume},
            ticket::{ID, SECRET, Secret, StrandId, Ticket},
        },
    },
};
use e2e::{SOON, Stack, aside::runtime};
use serde_json::json;
use std::net::UdpSocket;
use tokio::{io::AsyncReadExt, task::JoinSet, time};

pub(crate) const TESTS: &[Test] = &[("tunnels::a_forged_or_replayed_resume_is_refused", Shared(forged))];

/// The message that follows the identification (RFC 4253 section 12), behind a packet's two lengths.
const KEXINIT: u8 = 20;
/// The region, and the first part of the daemons' names.
const REGION: &str = "forged";

fn forged(world: &Stack) -> Result<()> {
    let place = Place::new(world, REGION, &[])?;
    let mut session = Echo::start(&place)?;
    let runtime = runtime()?;
    let acceptors = {
        let _inside = runtime.enter();
        [1, 2].map(|number| daemon(world, number))
    };
    let [opener, stranger] = acceptors;
    let story = async {
        let (opener, stranger) = tokio::try_join!(Played::welcome(opener?), Played::welcome(stranger?))?;
        story(&opener, &stranger).await
    };
    runtime.block_on(async { time::timeout(SOON * 2, story).await })??;
    session.say("untouched")?;
    session.end()
}

/// One more daemon of the region, as the directory has it.
fn daemon(world: &Stack, number: u8) -> Result<Acceptor> {
    let identity = Identity::from_seed(&[number; 32]);
    let acceptor = Acceptor::new(UdpSocket::bind("127.0.0.1:0")?, &identity, 0)?;
    let address = acceptor.local_addr()?;
    let entry = json!({"identity": identity.public().to_line(), "region": REGION, "addresses": [address]});
    world.edge.operator().put(&format!("/api/operator/daemons/{REGION}-{number}"), &entry)?.ok()?;
    Ok(acceptor)
}

/// A daemon with its tunnel to the agent.
struct Played {
    tunnel: Tunnel,
    _acceptor: Acceptor,
    _talk: JoinSet<()>,
}

impl Played {
    /// Once the agent has come: its proof is believed.
    async fn welcome(acceptor: Acceptor) -> Result<Self> {
        let tunnel = acceptor.accept().await.context("no agent")?.admit().await?;
        let mut control = tunnel.accept().await?;
        ensure!(matches!(control::read(&mut control.0).await?, Frame::Hello { .. }));
        control::write(&mut control.1, &Frame::Challenge { nonce: [0; NONCE] }).await?;
        ensure!(matches!(control::read(&mut control.0).await?, Frame::Proof { .. }));
        control::write(&mut control.1, &Frame::Welcome { generation: 1, instance: Instance([0; 16]), alone: false }).await?;
        let (mut signs, mut talk) = (JoinSet::new(), Talk::new(&tunnel, control));
        signs.spawn(async move { while talk.next().await.is_ok() {} });
        Ok(Self { tunnel, _acceptor: acceptor, _talk: signs })
    }

    async fn open(&self, ticket: &Ticket) -> Result<Stream> {
        let open = Open {
            user: "nobody".parse()?,
            fingerprint: Fingerprint([0; 32]),
            client: "127.0.0.1:9".parse()?,
            trace_id: "forged".into(),
            ticket: ticket.clone(),
            patience: SOON,
        };
        let mut stream = self.tunnel.open().await?;
        stream.1.send(open.encode().into()).await?;
        Ok(stream)
    }

    async fn resume(&self, resume: &Resume) -> Result<(Answer, Stream)> {
        let mut stream = self.tunnel.open().await?;
        stream.1.send(resume.encode().into()).await?;
        Ok((control::read_answer(&mut stream.0).await?, stream))
    }

    async fn is_refused(&self, what: &str, resume: &Resume) -> Result<()> {
        match self.resume(resume).await?.0 {
            Answer::Gone { .. } => Ok(()),
            Answer::Resumed { .. } => bail!("{what} was taken"),
        }
    }
}

async fn story(opener: &Played, stranger: &Played) -> Result<()> {
    let ticket = Ticket { id: StrandId([7; ID]), secret: Secret::new([8; SECRET]) };
    let mut leg = opener.open(&ticket).await?;
    let said = record(&mut leg.0).await?;
    ensure!(said.starts_with(b"SSH-2.0-"), "{said:?}");
    drop(leg);

    let guessed = Ticket { secret: Secret::new([9; SECRET]), ..ticket.clone() };
    let first = Resume::new(&ticket, 1, 0);
    opener.is_refused("a guessed secret", &Resume::new(&guessed, 1, 0)).await?;
    opener.is_refused("a proof of another position", &Resume { received: 4, ..first }).await?;
    opener.is_refused("a proof of another leg", &Resume { leg: 2, ..first }).await?;
    opener.is_refused("another connection's proof", &Resume { id: StrandId([6; ID]), ..first }).await?;
    stranger.is_refused("another daemon's connection, with its secret", &first).await?;

    let (answer, mut leg) = opener.resume(&first).await?;
    ensure!(answer == Answer::Resumed { received: 0 }, "{answer:?}");
    ensure!(record(&mut leg.0).await? == said, "it does not go on where it was left");

    opener.is_refused("a replay", &first).await?;
    stranger.is_refused("a replay by another daemon", &first).await?;
    stranger.is_refused("another daemon's next leg", &Resume::new(&ticket, 2, 0)).await?;
    // The leg that they wanted to take is still the connection's.
    leg.1.send(Bytes::from_static(b"\x01\0\0\0\x0fSSH-2.0-still\r\n")).await?;
    // Without it there would be no key exchange.
    let next = record(&mut leg.0).await?;
    ensure!(next.get(5) == Some(&KEXINIT), "{next:?}");
    Ok(())
}

/// The bytes of the next Data record.
async fn record(reader: &mut TunnelReader) -> Result<Vec<u8>> {
    let (kind, length) = (reader.read_u8().await?, reader.read_u32().await?);
    ensure!(kind == 1 && length <= 1 << 16, "a record of type {kind}, {length} bytes long");
    let mut bytes = vec![0; usize::try_from(length)?];
    reader.read_exact(&mut bytes).await?;
    Ok(bytes)
}
