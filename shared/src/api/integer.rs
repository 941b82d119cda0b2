//! Ids that a platform has as JSON integers: taken as their decimal digits, wherever it names its own.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use std::{fmt, str::FromStr};

/// A text, or the digits of an integer.
struct Text(String);

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or an integer that is not negative")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// For `deserialize_with`: an id of whatever kind.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

/// For `deserialize_with`: an id of one kind, if one is named.
pub(super) fn id<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let named = Option::<Text>::deserialize(deserializer)?;
    named.map(|text| text.0.parse().map_err(Error::custom)).transpose()
}

/// How [`text`] looks in JSON.
#[cfg(feature = "schema")]
pub(super) fn text_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "integer"], "minimum": 0 })
}

/// How [`id`] looks in JSON.
#[cfg(feature = "schema")]
pub(super) fn id_schema<T: schemars::JsonSchema>(schemas: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let name = schemas.subschema_for::<T>();
    schemars::json_schema!({ "anyOf": [name, { "type": "integer", "minimum": 0 }, { "type": "null" }] })
}

#[cfg(test)]
mod tests {
    use crate::api::{ImportLine, MintToken};
    use serde_json::{from_value, json};

    #[test]
    fn an_integer_is_its_digits() {
        let line = |workspace| {
            from_value::<ImportLine>(json!({ "type": "member", "user": "alice", "workspace": workspace }))
                .map(|line| line.workspace.map(|id| id.to_string()))
        };
        for same in [json!(796_636), json!("796636")] {
            assert_eq!(line(same).unwrap().as_deref(), Some("796636"));
        }
        assert_eq!(line(json!(u64::MAX)).unwrap().unwrap(), u64::MAX.to_string());
        assert_eq!(line(json!(null)).unwrap(), None);
        for bad in [json!(-1), json!(1.5), json!(true), json!([5]), json!("ws-1")] {
            assert!(line(bad.clone()).is_err(), "{bad}");
        }
        let member: ImportLine = from_value(json!({ "type": "member", "user": 7, "workspace": "5" })).unwrap();
        assert_eq!(member.user, Some("7".parse().unwrap()));
        let mint: MintToken = from_value(json!({ "scope": "agent", "subject": 796_636 })).unwrap();
        assert_eq!(mint.subject, "796636");
    }
}
