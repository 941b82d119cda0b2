//! Tags of the documents that agents were told of last, so that saying "unchanged" again reads nothing.
//!
//! Whatever a document says stands in the snapshot too, but for what time does to it: a tag holds until the next publish, or the
//! moment at which the document changes by itself. In memory only.

use crate::limits::DOCUMENT_TAGS;
use drawbridge_shared::{id::WorkspaceId, time::Timestamp};
use std::cell::RefCell;

/// Sorted by workspace: a map takes three times as much of the Worker's room.
#[derive(Debug)]
pub(super) struct Documents(RefCell<Vec<Tag>>);

#[derive(Debug)]
struct Tag {
    workspace: WorkspaceId,
    tag: String,
    end: Timestamp,
}

impl Documents {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// The tag of the workspace's document at `now`, if it is known.
    pub(super) fn tag(&self, id: &WorkspaceId, now: Timestamp) -> Option<String> {
        let tags = self.0.borrow();
        let held = tags.get(find(&tags, id).ok()?)?;
        (now < held.end).then(|| held.tag.clone())
    }

    /// It is `tag` before `end`, unless something is published.
    pub(super) fn remember(&self, id: &WorkspaceId, tag: &str, end: Timestamp) {
        let mut tags = self.0.borrow_mut();
        let news = Tag { workspace: id.clone(), tag: tag.to_owned(), end };
        match find(&tags, id) {
            Ok(at) => drop(tags.splice(at..=at, [news])),
            Err(at) if tags.len() < DOCUMENT_TAGS => tags.insert(at, news),
            Err(_) => {}
        }
    }

    /// Something was published.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().clear();
    }
}

fn find(tags: &[Tag], id: &WorkspaceId) -> Result<usize, usize> {
    tags.binary_search_by(|held| held.workspace.cmp(id))
}
