//! `/api/operator/import`: a platform moves in, line by line.
//!
//! The order of lines does not matter: workspaces are taken first, then members, then keys by their shard, so that few
//! shards are in memory at once. What was committed stays, whatever follows: the same body may be sent again.

use super::checks;
use crate::{
    api::{Platform, answer::json, asked::is_object, keys::chosen, wish::outcome},
    command::{ImportItem, OperatorCommand, Outcome},
    limits::{IMPORT_CHUNK, MAX_IMPORT_LINES},
    problem::Failure,
};
use axum::{http::StatusCode, response::Response};
use drawbridge_shared::{
    api::{ImportFailure, ImportLine, ImportReport, ImportType},
    key::UserKey,
    snapshot::key_shard,
    token::TokenHash,
};

const EXAMPLES: &str = r#"{"type": "workspace", "workspace": "796636", "region": "eu"}, {"type": "member", "workspace": "796636", "user": "alice"}, {"type": "key", "user": "alice", "publicKey": "ssh-ed25519 AAAA..."}"#;

/// A line that can be asked for, with its number.
type Numbered = (usize, ImportItem);
/// Lines that are committed together: their numbers, and what they ask for.
type Piece = (Vec<usize>, Vec<ImportItem>);

/// What a body asks for, and the lines of it that cannot be asked for, by their numbers.
pub(in crate::api) struct Batch {
    items: Vec<Numbered>,
    failed: Vec<ImportFailure>,
}

/// Asks the Ledger piece by piece.
pub(in crate::api) async fn run<P: Platform>(platform: &P, token: TokenHash, batch: Batch) -> Result<Response, Failure> {
    let Batch { items, mut failed } = batch;
    let (mut imported, mut unchanged) = (0_usize, 0_usize);
    for (numbers, items) in pieces(items) {
        let granted = outcome(platform, token, OperatorCommand::Import(items).into()).await?;
        let Outcome::Imported(results) = granted else { return Err(Failure::internal("an import without its results")) };
        for (line, result) in numbers.into_iter().zip(results) {
            match result {
                Ok(true) => imported = imported.saturating_add(1),
                Ok(false) => unchanged = unchanged.saturating_add(1),
                Err(refusal) => {
                    let place = failed.partition_point(|other| other.line < line);
                    failed.insert(place, Failure::from(refusal).of_line(line));
                }
            }
        }
    }
    json(StatusCode::OK, &ImportReport { imported, unchanged, failed })
}

/// What can be asked for, and what cannot.
pub(in crate::api) fn read(body: &[u8]) -> Result<Batch, Failure> {
    let (mut items, mut failed) = (Vec::new(), Vec::new());
    let lines = body.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    for (count, (at, line)) in lines.enumerate() {
        if count >= MAX_IMPORT_LINES {
            let failure = Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "The body has too many lines");
            return Err(failure.advice(format!("Send {MAX_IMPORT_LINES} lines at a time; nothing was imported.")));
        }
        let number = at.saturating_add(1);
        match item(line.trim_ascii()) {
            Ok(item) => items.push((number, item)),
            Err(failure) => failed.push(failure.of_line(number)),
        }
    }
    Ok(Batch { items, failed })
}

/// serde's own words may quote the line, and the line may hold a secret.
fn item(line: &[u8]) -> Result<ImportItem, Failure> {
    let shape = || Failure::bad("The line has another shape than expected").advice(format!("Expected, for example: {EXAMPLES}"));
    if !is_object(line) {
        return Err(shape());
    }
    let line: ImportLine = serde_json::from_slice(line).map_err(|_| shape())?;
    match line {
        ImportLine {
            r#type: ImportType::Key,
            user: Some(user),
            public_key: Some(key),
            title,
            expires_at,
            workspace: None,
            region: None,
        } => {
            let key = UserKey::titled(&key, chosen(title.as_deref()))?;
            let (fingerprint, line, title) = (key.fingerprint(), key.line().into(), key.title().into());
            Ok(ImportItem::Key { user, fingerprint, line, title, expires_at })
        }
        ImportLine {
            r#type: ImportType::Workspace,
            workspace: Some(id),
            region: Some(region),
            user: None,
            public_key: None,
            title: None,
            expires_at: None,
        } => Ok(ImportItem::Workspace { id, region: checks::region(region)? }),
        ImportLine {
            r#type: ImportType::Member,
            workspace: Some(workspace),
            user: Some(user),
            public_key: None,
            title: None,
            expires_at: None,
            region: None,
        } => Ok(ImportItem::Member(workspace, user)),
        _ => Err(shape()),
    }
}

/// Pieces that are committed one by one.
fn pieces(items: Vec<Numbered>) -> Vec<Piece> {
    let mut places: [Vec<Numbered>; PLACES] = std::array::from_fn(|_| Vec::new());
    for (number, item) in items {
        if let Some(place) = places.get_mut(place(&item)) {
            place.push((number, item));
        }
    }
    let (most, most_places) = IMPORT_CHUNK;
    let (mut pieces, mut piece, mut within) = (Vec::new(), Piece::default(), 0_usize);
    for items in places.into_iter().filter(|items| !items.is_empty()) {
        if within >= most_places {
            pieces.push(std::mem::take(&mut piece));
            within = 0;
        }
        within = within.saturating_add(1);
        for (number, item) in items {
            if piece.0.len() >= most {
                pieces.push(std::mem::take(&mut piece));
                within = 1;
            }
            piece.0.push(number);
            piece.1.push(item);
        }
    }
    pieces.push(piece);
    pieces
}

/// How many there are of [`place`].
const PLACES: usize = 2 + 256;

/// Workspaces come first, then members, then keys by their shard.
fn place(item: &ImportItem) -> usize {
    match item {
        ImportItem::Workspace { .. } => 0,
        ImportItem::Member(..) => 1,
        ImportItem::Key { fingerprint, .. } => usize::from(key_shard::shard_of(fingerprint)).saturating_add(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::fingerprint::Fingerprint;

    fn key(first: u8) -> ImportItem {
        let fingerprint = Fingerprint(std::array::from_fn(|i| if i == 0 { first } else { 1 }));
        ImportItem::Key {
            user: "alice".parse().unwrap(),
            fingerprint,
            line: String::new(),
            title: String::new(),
            expires_at: None,
        }
    }

    #[test]
    fn pieces_are_bounded_in_lines_and_in_shards() {
        let (most, most_shards) = IMPORT_CHUNK;
        let many = (0..600).map(|number| (number, key(7))).collect();
        assert_eq!(pieces(many).iter().map(|piece| piece.0.len()).collect::<Vec<_>>(), [most, most, 100]);
        let wide = (0..=255).map(|first: u8| (usize::from(first), key(first))).collect();
        assert!(pieces(wide).iter().all(|piece| piece.0.len() == most_shards));
    }

    #[test]
    fn workspaces_come_before_their_members() {
        let member = ImportItem::Member("1".parse().unwrap(), "alice".parse().unwrap());
        let workspace = ImportItem::Workspace { id: "1".parse().unwrap(), region: "eu".into() };
        let order: Vec<_> =
            pieces(vec![(1, key(9)), (2, member), (3, workspace)]).into_iter().flat_map(|(numbers, _)| numbers).collect();
        assert_eq!(order, [3, 2, 1]);
    }
}
