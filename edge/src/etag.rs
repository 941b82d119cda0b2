//! Entity tags (RFC 9110 section 8.8.3).

/// Whether the `If-None-Match` header `held` names `etag` or anything.
pub fn matches(held: Option<&str>, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().strip_prefix("W/").unwrap_or(tag.trim()) == etag;
    held.is_some_and(|held| held.trim() == "*" || held.split(',').any(opaque))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_weak_tags_and_the_star_match() {
        for held in ["\"7\"", "W/\"7\"", "\"6\", \"7\"", "*", " \"7\" "] {
            assert!(matches(Some(held), "\"7\""), "{held}");
        }
        for held in [None, Some(""), Some("7"), Some("\"77\"")] {
            assert!(!matches(held, "\"7\""), "{held:?}");
        }
    }
}
