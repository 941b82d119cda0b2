//! Open files and folders by the names that the client knows them by.

use super::{
    file::File,
    folder::Folder,
    limits,
    parse::{Malformed, Parse},
};
use bytes::Bytes;
use std::sync::Arc;

/// A handle as the client sent it; only [`Handles`] can tell what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle(Bytes);

/// What a handle stands for.
#[derive(Clone, Debug)]
pub(super) enum Open {
    File(Arc<File>),
    Folder(Arc<Folder>),
}

/// The table of one session; its size is bounded.
#[derive(Debug)]
pub(super) struct Handles {
    slots: Vec<Slot>,
    free: Vec<u32>,
    limit: usize,
}

/// A place that is used again under a new generation, so that an old handle never reaches a newer file.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    open: Option<Open>,
}

impl Handle {
    pub(super) fn parse(from: &mut Parse) -> Result<Self, Malformed> {
        Ok(Self(from.string()?))
    }

    #[cfg(test)]
    pub(super) fn from_wire(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Its bytes on the wire.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn new(place: u32, generation: u32) -> Self {
        Self(Bytes::copy_from_slice(&(u64::from(generation) << 32 | u64::from(place)).to_be_bytes()))
    }

    /// Generation and place.
    fn parts(&self) -> Option<(u32, usize)> {
        let whole = u64::from_be_bytes((*self.0).try_into().ok()?);
        Some(((whole >> 32) as u32, (whole & u64::from(u32::MAX)) as usize))
    }
}

impl Handles {
    /// An empty table for a process that may have `descriptors` open.
    pub(super) fn new(descriptors: u64) -> Self {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let limit = descriptors.saturating_sub(limits::DESCRIPTORS).min(limits::HANDLES);
        Self { slots: Vec::new(), free: Vec::new(), limit }
    }

    /// Most handles that may be open.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether one more fits.
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() - self.free.len() < self.limit
    }

    /// Gives `open` a handle.
    pub(super) fn insert(&mut self, open: Open) -> Handle {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.slots.get_mut(place as usize).map(|slot| {
            slot.open = Some(open);
            slot.generation
        });
        Handle::new(place, generation.unwrap_or_default())
    }

    /// What `handle` stands for.
    pub(super) fn get(&self, handle: &Handle) -> Option<&Open> {
        let (generation, place) = handle.parts()?;
        self.slots.get(place).filter(|slot| slot.generation == generation)?.open.as_ref()
    }

    /// The same, if it is a file.
    pub(super) fn file(&self, handle: &Handle) -> Option<Arc<File>> {
        match self.get(handle)? {
            Open::File(file) => Some(file.clone()),
            Open::Folder(_) => None,
        }
    }

    /// The same, if it is a folder.
    pub(super) fn folder(&self, handle: &Handle) -> Option<Arc<Folder>> {
        match self.get(handle)? {
            Open::File(_) => None,
            Open::Folder(folder) => Some(folder.clone()),
        }
    }

    /// Takes `handle` out.
    pub(super) fn remove(&mut self, handle: &Handle) -> Option<Open> {
        let (generation, place) = handle.parts()?;
        let slot = self.slots.get_mut(place).filter(|slot| slot.generation == generation)?;
        let open = slot.open.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(u32::try_from(place).unwrap_or(u32::MAX));
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, openat};

    fn open() -> Open {
        let fd = openat(CWD, "/", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Open::File(Arc::new(File::new(fd, false).unwrap()))
    }

    #[test]
    fn a_closed_handle_never_reaches_a_newer_file() {
        let mut handles = Handles::new(100);
        let old = handles.insert(open());
        assert!(handles.file(&old).is_some() && handles.folder(&old).is_none());
        assert!(handles.remove(&old).is_some());
        let new = handles.insert(open());
        assert_ne!(old, new);
        assert!(handles.get(&old).is_none() && handles.remove(&old).is_none() && handles.get(&new).is_some());
    }

    #[test]
    fn strange_handles_stand_for_nothing() {
        let mut handles = Handles::new(100);
        handles.insert(open());
        for strange in [&b""[..], &[0; 7], &[0; 9], &[0xff; 8], &[0; 300]] {
            assert!(handles.get(&Handle(strange.to_vec().into())).is_none(), "{strange:?}");
        }
    }

    #[test]
    fn there_is_an_end_and_closing_makes_room() {
        let mut handles = Handles::new(limits::DESCRIPTORS as u64 + 2);
        let (first, _second) = (handles.insert(open()), handles.insert(open()));
        assert!(!handles.has_room());
        handles.remove(&first);
        assert!(handles.has_room());
        assert_eq!(Handles::new(u64::MAX).limit(), limits::HANDLES);
        assert_eq!(Handles::new(3).limit(), 0);
    }
}
