//! Counters and gauges of one daemon, every label of a closed set; shown as OpenMetrics text, which Prometheus reads.

use crate::snapshot::Snapshots;
use drawbridge_shared::{
    native::{clock, tunnel::Transport},
    outage::Disbelief,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

/// What is counted where it happens; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Outer connections whose key is not proven yet, now.
    pub(crate) waiting: Gauge,
    /// Keys that were proven.
    pub(crate) logins: Counter,
    /// Outer connections whose key was proven, now.
    pub(crate) sessions: Gauge,
    /// Their ends.
    pub(crate) logouts: ByReason,
    /// Logins and channels refused.
    pub(crate) refusals: ByReason,
    /// Channels opened to a workspace.
    pub(crate) opened: Counter,
    /// Those that are open now.
    pub(crate) channels: Gauge,
    /// Their ends.
    pub(crate) closed: ByReason,
    /// Bytes of closed channels, from users.
    pub(crate) up: Counter,
    /// And to users.
    pub(crate) down: Counter,
    /// Connections given up before a key was proven.
    pub(crate) dropped: ByReason,
    /// Lines that the audit trail had no room for.
    pub(crate) unaudited: Counter,
    /// Agents that came beside another of their workspace, each of which says that it is the only one.
    pub(crate) rivals: Counter,
    tunnels: Family<ByTransport, Gauge>,
}

/// One counter a reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByReason(Family<Reason, Counter>);

/// State that was offered and not believed, by why.
#[derive(Clone, Debug, Default)]
pub struct Disbelieved(ByReason);

/// One thing that is there; dropping it takes it off its gauge.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTransport {
    transport: &'static str,
}

/// All that a scrape shows.
#[derive(Debug)]
pub(crate) struct Exhibition {
    registry: Registry,
    snapshots: Snapshots,
    seq: Gauge,
    age: Gauge,
}

impl Metrics {
    /// One more tunnel, until the guard is dropped.
    pub(crate) fn tunnel(&self, transport: Transport) -> Counted {
        Counted::on(&self.tunnels.get_or_create(&ByTransport { transport: transport.label() }))
    }
}

impl ByReason {
    /// One more; `reason` is the label of a closed enum.
    pub(crate) fn note(&self, reason: &'static str) {
        self.0.get_or_create(&Reason { reason }).inc();
    }
}

impl Disbelieved {
    /// One more.
    pub(crate) fn note(&self, why: Disbelief) {
        self.0.note(why.label());
    }

    /// How often so far.
    pub fn count(&self, why: Disbelief) -> u64 {
        self.0.0.get_or_create(&Reason { reason: why.label() }).get()
    }
}

impl Counted {
    /// One more on `gauge`.
    pub(crate) fn on(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Exhibition {
    /// Of what `metrics` count, and of the state in `snapshots`.
    pub(crate) fn new(metrics: &Metrics, snapshots: Snapshots) -> Self {
        let mut registry = Registry::with_prefix("drawbridge");
        metrics.exhibit(&mut registry);
        let (seq, age) = (Gauge::default(), Gauge::default());
        registry.register("snapshot_seq", "Number of the key snapshot that decides; 0 before the first", seq.clone());
        let help = "Since the key snapshot that decides was signed; -1 before the first";
        registry.register_with_unit("snapshot_age", help, Unit::Seconds, age.clone());
        let disbelieved = snapshots.disbelieved().0.0.clone();
        registry.register("snapshot_disbelieved", "Key snapshots that were offered and not believed", disbelieved);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running build", build);
        Self { registry, snapshots, seq, age }
    }

    /// The text of one scrape.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let view = self.snapshots.current();
        let age = view.issued_at().map_or(-1, |issued| whole(clock::now().since(issued).as_secs()));
        self.seq.set(whole(view.seq().0));
        self.age.set(age);
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Metrics {
    fn exhibit(&self, registry: &mut Registry) {
        registry.register("pre_auth", "Outer connections whose key is not proven yet", self.waiting.clone());
        registry.register("logins", "Keys that were proven", self.logins.clone());
        registry.register("sessions", "Outer connections whose key was proven", self.sessions.clone());
        registry.register("logouts", "Ends of such connections", self.logouts.0.clone());
        registry.register("refusals", "Logins and channels that were refused", self.refusals.0.clone());
        registry.register("channels_opened", "Channels opened to a workspace", self.opened.clone());
        registry.register("channels", "Channels that are open to a workspace", self.channels.clone());
        registry.register("channels_closed", "Ends of such channels", self.closed.0.clone());
        registry.register("pre_auth_dropped", "Connections given up before a key was proven", self.dropped.0.clone());
        registry.register("audit_dropped", "Lines that the audit trail had no room for", self.unaudited.clone());
        registry.register("tunnels", "Tunnels of agents", self.tunnels.clone());
        let rivals = "Agents that came while another of their workspace was there, both of which say that they are the only one: \
                      it had crashed just before, or the workspace's key was copied";
        registry.register("rival_agents", rivals, self.rivals.clone());
        let up = "Bytes from users, of channels that have closed";
        registry.register_with_unit("received", up, Unit::Bytes, self.up.clone());
        let down = "Bytes to users, of channels that have closed";
        registry.register_with_unit("sent", down, Unit::Bytes, self.down.clone());
    }
}
