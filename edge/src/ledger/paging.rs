//! Lists in pages: the cursor is the id of the last item.

use super::change::Change;
use crate::{
    command::PageOf,
    names,
    rows::{Rows, RowsFault},
};
use drawbridge_shared::api::Page;

/// Up to a page of rows behind `prefix`, each turned into an item; `fit` says when the page is full before its limit.
pub(super) fn page<R: Rows, T>(
    change: &Change<'_, R>,
    prefix: &str,
    page: &PageOf,
    item: impl Fn(&str, &[u8]) -> Result<Option<T>, RowsFault>,
    mut full: impl FnMut(&T) -> bool,
) -> Result<Page<T>, RowsFault> {
    let after = page.cursor.as_ref().map_or_else(String::new, |cursor| [prefix, cursor].concat());
    let rows = change.scan(prefix, &after, page.limit.saturating_add(1))?;
    let (mut items, mut last, mut cursor) = (Vec::new(), None, None);
    for (name, value) in rows {
        if items.len() >= page.limit || items.last().is_some_and(&mut full) {
            cursor = last;
            break;
        }
        items.extend(item(&name, &value)?);
        last = Some(names::tail(&name).to_owned());
    }
    Ok(Page { items, cursor })
}
