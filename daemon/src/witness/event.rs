//! The audit trail's events as they stand in it: who, where from, where to, how much and why, never what.

use super::Who;
use drawbridge_shared::id::{UserId, WorkspaceId};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// One line of the trail, apart from its time.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub(super) enum Event<'a> {
    /// A key was proven.
    Login {
        #[serde(flatten)]
        who: Who<'a>,
    },
    /// A login or a channel was refused.
    Refusal {
        #[serde(flatten)]
        who: Who<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        workspace: Option<&'a WorkspaceId>,
        reason: &'static str,
    },
    /// A channel leads to a workspace.
    Open {
        #[serde(flatten)]
        who: Who<'a>,
        user: &'a UserId,
        workspace: &'a WorkspaceId,
    },
    /// It ended; bytes from the user (`up`) and to the user (`down`).
    Close {
        #[serde(flatten)]
        who: Who<'a>,
        user: &'a UserId,
        workspace: &'a WorkspaceId,
        up: u64,
        down: u64,
        duration_ms: u128,
        reason: &'static str,
    },
    /// The connection ended.
    Logout {
        #[serde(flatten)]
        who: Who<'a>,
        duration_ms: u128,
        reason: &'static str,
    },
}

impl Serialize for Who<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("trace", self.trace)?;
        map.serialize_entry("source", &self.peer)?;
        if let Some(key) = &self.key {
            map.serialize_entry("key", &key.to_string())?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::fingerprint::Fingerprint;
    use serde_json::json;

    #[test]
    fn events_have_these_words() {
        let key = Fingerprint([1; 32]);
        let who = Who { trace: "01", peer: "192.0.2.1:99".parse().unwrap(), key: Some(key) };
        let (user, workspace) = (&"alice".parse().unwrap(), &"796636".parse().unwrap());
        let told = |event: &Event<'_>| serde_json::to_value(event).unwrap();
        let key = key.to_string();
        assert_eq!(told(&Event::Login { who }), json!({"event": "login", "trace": "01", "source": "192.0.2.1:99", "key": key}));
        let unknown = Event::Refusal { who: Who { key: None, ..who }, workspace: None, reason: "target" };
        assert_eq!(told(&unknown), json!({"event": "refusal", "trace": "01", "source": "192.0.2.1:99", "reason": "target"}));
        let close = Event::Close { who, user, workspace, up: 1, down: 2, duration_ms: 3, reason: "finished" };
        assert_eq!(
            told(&close),
            json!({"event": "close", "trace": "01", "source": "192.0.2.1:99", "key": key, "user": "alice",
                   "workspace": "796636", "up": 1, "down": 2, "durationMs": 3, "reason": "finished"})
        );
    }
}
