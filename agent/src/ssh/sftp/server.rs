//! Takes requests in order and decides where each is done: on open files in lanes, by path alone.

use super::{
    Fault,
    attributes::Attributes,
    crew::Crew,
    errand::{self, Errand},
    extension::Extension,
    frames::Frames,
    handles::{Handle, Handles, Open},
    listing::Owners,
    outbox::Outbox,
    packet::Packet,
    paths,
    reply::{self, Reply},
    request::{Message, Request},
    status::{Code, Status},
};
use std::{io::Read, sync::Arc};

/// One client's server.
pub(super) struct Server<'scope, 'env> {
    handles: Handles,
    owners: Arc<Owners>,
    crew: Crew<'scope, 'env>,
    outbox: &'env Outbox,
    greeted: bool,
}

impl<'scope, 'env> Server<'scope, 'env> {
    /// Nothing open, and at most `descriptors` descriptors to be.
    pub(super) fn new(crew: Crew<'scope, 'env>, outbox: &'env Outbox, descriptors: u64) -> Self {
        Self { handles: Handles::new(descriptors), owners: Arc::default(), crew, outbox, greeted: false }
    }

    /// Serves until the input ends, or cannot be understood, or nobody can be answered.
    pub(super) fn run(mut self, input: impl Read) -> Result<(), Fault> {
        let mut frames = Frames::new(input);
        while let Some(frame) = frames.next()?
            && !self.outbox.is_broken()
        {
            let message = Message::decode(frame)?;
            self.take(message, !frames.more())?;
        }
        Ok(())
    }

    /// `alone`: no other message has arrived yet.
    fn take(&mut self, message: Message, alone: bool) -> Result<(), Fault> {
        match message {
            Message::Init(_) => {
                self.greeted = true;
                self.answer(reply::version().finish(), alone);
            }
            Message::Request(..) if !self.greeted => return Err(Fault::Early),
            Message::Request(id, request) => self.serve(id, request, alone),
        }
        Ok(())
    }

    fn serve(&mut self, id: u32, request: Request, alone: bool) {
        match errand::of(id, request, &self.handles, &self.owners) {
            // A client that waits for this answer alone is spared the way through other threads.
            Errand::Job(job) if alone && !job.long && self.crew.is_idle() => self.answer((job.work)(), true),
            Errand::Job(job) => self.crew.take(job),
            Errand::Nothing(status) => self.answer(reply::finish(id, Err(status)), alone),
            Errand::Alone(request) => {
                self.crew.settle();
                let reply = self.alone(id, request);
                self.answer(reply::finish(id, reply), alone);
            }
        }
    }

    fn answer(&self, answer: Vec<u8>, alone: bool) {
        if alone { self.outbox.send(answer) } else { self.outbox.put(answer) }
    }

    /// Nothing else is under way.
    fn alone(&mut self, id: u32, request: Request) -> Reply {
        match request {
            Request::Open { path, flags, attributes } => self.open(id, &path, flags, &attributes),
            Request::Opendir { path } => self.open_folder(id, &path),
            Request::Close { handle } => reply::done(id, self.close(&handle)),
            Request::Stat { path } => paths::attributes(id, &path),
            Request::Lstat { path } => paths::link_attributes(id, &path),
            Request::Setstat { path, attributes } => reply::done(id, paths::change(&path, &attributes)),
            Request::Remove { path } => reply::done(id, paths::remove(&path)),
            Request::Mkdir { path, attributes } => reply::done(id, paths::make_folder(&path, &attributes)),
            Request::Rmdir { path } => reply::done(id, paths::remove_folder(&path)),
            Request::Realpath { path } => paths::real(id, &path),
            Request::Rename { from, to } => reply::done(id, paths::rename_new(&from, &to)),
            Request::Readlink { path } => paths::read_link(id, &path),
            Request::Symlink { target, link } => reply::done(id, paths::make_link(&target, &link)),
            Request::Extended(extension) => self.extended(id, extension),
            _ => Err(Code::Unsupported.into()),
        }
    }

    fn extended(&self, id: u32, extension: Extension) -> Reply {
        match extension {
            Extension::PosixRename { from, to } => reply::done(id, paths::rename_over(&from, &to)),
            Extension::Statvfs { path } => paths::space(id, &path),
            Extension::Hardlink { from, to } => reply::done(id, paths::hard_link(&from, &to)),
            Extension::Lsetstat { path, attributes } => reply::done(id, paths::change_link(&path, &attributes)),
            Extension::Limits => Ok(reply::bounds(id, self.handles.limit())),
            Extension::ExpandPath { path } => paths::expand(id, &path),
            Extension::HomeDirectory { user } => paths::home(id, &user),
            Extension::NamesById { users, groups } => Ok(self.names(id, users, groups)),
            _ => Err(Code::Unsupported.into()),
        }
    }

    fn open(&mut self, id: u32, path: &[u8], flags: u32, attributes: &Attributes) -> Reply {
        self.has_room()?;
        let file = paths::open(path, flags, attributes)?;
        Ok(reply::handle(id, &self.handles.insert(Open::File(Arc::new(file)))))
    }

    fn open_folder(&mut self, id: u32, path: &[u8]) -> Reply {
        self.has_room()?;
        let folder = paths::open_folder(path)?;
        Ok(reply::handle(id, &self.handles.insert(Open::Folder(Arc::new(folder)))))
    }

    /// Before a file is made: a refusal must not leave one behind.
    fn has_room(&self) -> Result<(), Status> {
        let told = || Status::new(Code::Failure, "too many files and folders are open: close some");
        self.handles.has_room().then_some(()).ok_or_else(told)
    }

    fn close(&mut self, handle: &Handle) -> Result<(), Status> {
        match self.handles.remove(handle) {
            None => Err(Code::NoSuchFile.into()),
            Some(Open::File(file)) => Ok(Arc::into_inner(file).map_or(Ok(()), |file| file.close())?),
            Some(Open::Folder(_)) => Ok(()),
        }
    }

    fn names(&self, id: u32, users: Vec<u32>, groups: Vec<u32>) -> Packet {
        let user = |id| self.owners.user(id).unwrap_or_default();
        let group = |id| self.owners.group(id).unwrap_or_default();
        reply::owners(id, users.into_iter().map(user), groups.into_iter().map(group))
    }
}
