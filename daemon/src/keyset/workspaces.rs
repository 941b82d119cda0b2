//! One shard's workspaces, packed: a line of text each, found by id and by member without an allocation a workspace.

use drawbridge_shared::{
    id::{UserId, WorkspaceId},
    native::identity::PublicIdentity,
    snapshot::{key_shard::UserHash, workspace_shard},
};
use std::cmp::Ordering;

/// A shard of family `w` as the daemon keeps it: about 100 bytes for a workspace of three members.
#[derive(Debug, Default)]
pub(super) struct Workspaces {
    /// `<id> <region> <member> <member>...` for each row; ids and users hold no blank, so blanks part them.
    text: Box<str>,
    /// By id.
    rows: Box<[Row]>,
    /// Every member of every row, by the start of their hash.
    members: Box<[Member]>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// Where its line ends in the text; it begins where the one before ends.
    end: u32,
    key: Option<PublicIdentity>,
    asleep: bool,
}

/// Eight bytes instead of a hash: whoever seems to be meant is hashed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    /// The first bytes of the [`UserHash`].
    hint: u32,
    /// Where the user's id begins in the text.
    at: u32,
}

impl Workspaces {
    /// Reads a shard whose hash was checked; `None` unless it is shard `id`.
    pub(super) fn open(id: u8, bytes: &[u8]) -> Option<Self> {
        let all = workspace_shard::open(id, bytes)?;
        let mut packed = Packer::default();
        all.into_iter().try_for_each(|workspace| packed.add(workspace))?;
        Some(packed.finish())
    }

    /// The key that proves a tunnel to be that workspace's.
    pub(super) fn agent_key(&self, id: &WorkspaceId) -> Option<PublicIdentity> {
        self.rows.get(self.find(id)?)?.key
    }

    /// Which of `users` is a member of the workspace `id`.
    pub(super) fn member(&self, id: &WorkspaceId, users: &[UserHash]) -> Option<UserId> {
        // The same look-ups whether or not there is such a workspace: a stranger learns nothing from the time they take.
        let row = self.find(id);
        let here = |member: &&Member| Some(self.row_at(member.at)) == row;
        users.iter().find_map(|user| self.hinted(user).iter().filter(here).find_map(|member| self.exactly(member, user)))
    }

    /// The workspaces that any of `users` is a member of; one may come more than once.
    pub(super) fn of_users<'a>(&'a self, users: &'a [UserHash]) -> impl Iterator<Item = WorkspaceId> + 'a {
        users.iter().flat_map(move |user| {
            let found = self.hinted(user).iter().filter(move |member| self.exactly(member, user).is_some());
            found.filter_map(|member| self.id(self.row_at(member.at)))
        })
    }

    /// Where the workspace `id` runs.
    pub(super) fn region(&self, id: &WorkspaceId) -> Option<&str> {
        self.region_at(self.find(id)?)
    }

    /// Whether the platform has put the workspace `id` to sleep.
    pub(super) fn asleep(&self, id: &WorkspaceId) -> bool {
        self.find(id).is_some_and(|row| self.asleep_at(row))
    }

    /// What any of `users` is a member of, each with the user.
    pub(super) fn memberships<'a>(&'a self, users: &'a [UserHash]) -> impl Iterator<Item = (UserId, WorkspaceId)> + 'a {
        users.iter().flat_map(move |user| {
            let found = self.hinted(user).iter().filter_map(move |member| Some((self.exactly(member, user)?, member.at)));
            found.filter_map(|(user, at)| Some((user, self.id(self.row_at(at))?)))
        })
    }

    /// All workspaces.
    pub(super) fn ids(&self) -> impl Iterator<Item = WorkspaceId> + '_ {
        (0..self.rows.len()).filter_map(|row| self.id(row))
    }

    /// The workspaces that are not the same in both shards.
    pub(super) fn changed(&self, other: &Self) -> Vec<WorkspaceId> {
        let (mut changed, mut here, mut there) = (Vec::new(), 0, 0);
        while here < self.rows.len() || there < other.rows.len() {
            let order = order(self.name(here), other.name(there));
            if order.is_ne() || !self.same(here, other, there) {
                changed.extend(if order.is_gt() { other.id(there) } else { self.id(here) });
            }
            here += usize::from(order.is_le());
            there += usize::from(order.is_ge());
        }
        changed
    }

    fn same(&self, here: usize, other: &Self, there: usize) -> bool {
        let rest = |shard: &Self, row| (shard.key(row), shard.asleep_at(row));
        self.line(here) == other.line(there) && rest(self, here) == rest(other, there)
    }

    fn find(&self, id: &WorkspaceId) -> Option<usize> {
        let (mut low, mut high) = (0, self.rows.len());
        // Down to the last row even where it was met on the way: what is there takes as long as what is not.
        while low < high {
            let middle = low.midpoint(high);
            if self.name(middle)? < id.as_str() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (self.name(low)? == id.as_str()).then_some(low)
    }

    /// The members whose hash begins as `user` does.
    fn hinted(&self, user: &UserHash) -> &[Member] {
        let hint = hint(user);
        let from = self.members.partition_point(|member| member.hint < hint);
        let rest = self.members.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|member| member.hint == hint).count();
        rest.get(..count).unwrap_or_default()
    }

    fn exactly(&self, member: &Member, user: &UserHash) -> Option<UserId> {
        let id: UserId = word(self.text.get(member.at as usize..)?).parse().ok()?;
        (UserHash::of(&id) == *user).then_some(id)
    }

    /// The row whose line holds the byte `at`.
    fn row_at(&self, at: u32) -> usize {
        self.rows.partition_point(|row| row.end <= at)
    }

    fn line(&self, row: usize) -> Option<&str> {
        let end = self.rows.get(row)?.end as usize;
        let start = row.checked_sub(1).and_then(|before| self.rows.get(before)).map_or(0, |before| before.end as usize);
        self.text.get(start..end)
    }

    fn name(&self, row: usize) -> Option<&str> {
        self.line(row).map(word)
    }

    fn region_at(&self, row: usize) -> Option<&str> {
        self.line(row)?.split([' ', '\n']).nth(1)
    }

    fn id(&self, row: usize) -> Option<WorkspaceId> {
        self.name(row)?.parse().ok()
    }

    fn key(&self, row: usize) -> Option<PublicIdentity> {
        self.rows.get(row)?.key
    }

    fn asleep_at(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(|row| row.asleep)
    }
}

/// Rows on their way into a shard.
#[derive(Default)]
struct Packer {
    text: String,
    rows: Vec<Row>,
    members: Vec<Member>,
}

impl Packer {
    /// `None` when a word of it would not be one.
    fn add(&mut self, workspace: workspace_shard::Workspace) -> Option<()> {
        let workspace_shard::Workspace { id, region, agent_key, members, asleep } = workspace;
        if region.contains([' ', '\n']) {
            return None;
        }
        self.text.extend([id.as_str(), " ", &region]);
        for user in &members {
            self.text.push(' ');
            self.members.push(Member { hint: hint(&UserHash::of(user)), at: self.at()? });
            self.text.push_str(user.as_str());
        }
        self.text.push('\n');
        let key = agent_key.and_then(|line| PublicIdentity::from_line(&line).ok());
        self.rows.push(Row { end: self.at()?, key, asleep });
        Some(())
    }

    fn at(&self) -> Option<u32> {
        u32::try_from(self.text.len()).ok()
    }

    fn finish(mut self) -> Workspaces {
        self.members.sort_unstable();
        Workspaces { text: self.text.into(), rows: self.rows.into(), members: self.members.into() }
    }
}

fn hint(user: &UserHash) -> u32 {
    user.0.first_chunk().map_or(0, |start| u32::from_be_bytes(*start))
}

/// Up to the first blank.
fn word(line: &str) -> &str {
    line.split([' ', '\n']).next().unwrap_or_default()
}

/// Which of two names comes first; none comes last.
fn order(here: Option<&str>, there: Option<&str>) -> Ordering {
    match (here, there) {
        (Some(here), Some(there)) => here.cmp(there),
        (here, there) => there.is_some().cmp(&here.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::{native::identity::Identity, snapshot::workspace_shard::Workspace};

    fn user(name: &str) -> UserHash {
        UserHash::of(&name.parse().unwrap())
    }

    /// Ids that all fall into one shard.
    fn neighbours(count: usize) -> Vec<WorkspaceId> {
        let all = (0..).map(|n: u32| n.to_string().parse().unwrap());
        all.filter(|id| workspace_shard::shard_of(id) == 7).take(count).collect()
    }

    fn workspace(id: &WorkspaceId, region: &str, members: &[&str]) -> Workspace {
        let members = members.iter().map(|name| name.parse().unwrap()).collect();
        let key = Identity::from_seed(&[members_seed(id); 32]).public();
        Workspace { id: id.clone(), region: region.into(), agent_key: Some(key.to_line()), members, asleep: false }
    }

    fn members_seed(id: &WorkspaceId) -> u8 {
        id.as_str().len() as u8
    }

    fn open(all: &[Workspace]) -> Workspaces {
        Workspaces::open(7, &workspace_shard::build(all.to_vec())).unwrap()
    }

    #[test]
    fn workspaces_are_found_by_id_and_by_member() {
        let ids = neighbours(40);
        let all: Vec<_> = ids.iter().map(|id| workspace(id, "eu", &["alice", id.as_str()])).collect();
        let packed = open(&all);
        for id in &ids {
            assert_eq!(packed.agent_key(id), Some(Identity::from_seed(&[members_seed(id); 32]).public()));
            assert_eq!(packed.member(id, &[user("bob"), user("alice")]).unwrap().as_str(), "alice");
            assert_eq!(packed.member(id, &[user(id.as_str())]).unwrap().as_str(), id.as_str());
            assert_eq!(packed.member(id, &[user("bob")]), None);
            assert_eq!(packed.region(id), Some("eu"));
            let own: Vec<_> = packed.memberships(&[user(id.as_str())]).collect();
            assert_eq!(own, [(id.as_str().parse().unwrap(), id.clone())]);
        }
        assert_eq!(packed.of_users(&[user("alice")]).count(), 40);
        assert_eq!(packed.member(&ids[0], &[user(ids[1].as_str())]), None, "a member of the next one");
        assert_eq!(packed.agent_key(&"none".parse().unwrap()), None);
        assert_eq!(packed.ids().count(), 40);
    }

    #[test]
    fn what_differs_is_told() {
        let ids = neighbours(4);
        let old: Vec<_> = ids.iter().map(|id| workspace(id, "eu", &["alice"])).collect();
        let changed = |new: &[Workspace]| open(&old).changed(&open(new));
        assert_eq!(changed(&old), []);
        assert_eq!(changed(&old[1..]), [old[0].id.clone()]);
        assert_eq!(open(&old[..2]).changed(&open(&old)), open(&old).changed(&open(&old[..2])));
        let mut moved = old.clone();
        moved[1].region = "us".into();
        moved[2].agent_key = None;
        moved[3].asleep = true;
        let mut told = changed(&moved);
        told.sort();
        let mut expected = [&old[1], &old[2], &old[3]].map(|workspace| workspace.id.clone());
        expected.sort();
        assert_eq!(told, expected);
        let asleep: Vec<_> = ids.iter().map(|id| open(&moved).asleep(id)).collect();
        assert_eq!(asleep, [false, false, false, true]);
    }

    #[test]
    fn a_region_of_two_words_is_no_shard() {
        let id = neighbours(1).remove(0);
        assert!(Workspaces::open(7, &workspace_shard::build(vec![workspace(&id, "eu west", &[])])).is_none());
    }
}
