//! Requests on open files, made into jobs that any thread can do.

use super::{
    crew::Job,
    extension::Extension,
    file::File,
    handles::{Handle, Handles},
    lanes::Files,
    listing::{Lister, Owners},
    reply::{self, Reply},
    request::Request,
    status::{Code, Status},
};
use drawbridge_shared::native::clock;
use std::sync::Arc;

/// What a request comes to.
pub(super) enum Errand {
    /// It is about open files.
    Job(Job),
    /// It is about something that is not open.
    Nothing(Status),
    /// It is about paths or handles, and done while nothing else is.
    Alone(Request),
}

/// Finds what `request` is about.
pub(super) fn of(id: u32, request: Request, handles: &Handles, owners: &Arc<Owners>) -> Errand {
    let on = Target { id, handles };
    let job = match request {
        Request::Read { handle, offset, length } => on.file(&handle, move |file| file.read(id, offset, length)),
        Request::Write { handle, offset, data } => on.file(&handle, move |file| reply::done(id, file.write(offset, &data))),
        Request::Fstat { handle } => on.file(&handle, move |file| file.attributes(id)),
        Request::Fsetstat { handle, attributes } => on.file(&handle, move |file| reply::done(id, file.change(&attributes))),
        Request::Readdir { handle } => on.folder(&handle, owners.clone()),
        Request::Extended(Extension::Fstatvfs { handle }) => on.file(&handle, move |file| file.space(id)),
        Request::Extended(Extension::Fsync { handle }) => on.synced(&handle),
        Request::Extended(Extension::CopyData { from, offset, length, to, at }) => {
            on.both(&from, &to, move |from, to| reply::done(id, from.copy(offset, length, to, at)))
        }
        other => return Errand::Alone(other),
    };
    job.map_or_else(Errand::Nothing, Errand::Job)
}

/// Where handles are looked up for request `id`.
struct Target<'a> {
    id: u32,
    handles: &'a Handles,
}

impl Target<'_> {
    fn file(&self, handle: &Handle, work: impl FnOnce(&File) -> Reply + Send + 'static) -> Result<Job, Status> {
        let file = self.handles.file(handle).ok_or_else(Status::no_handle)?;
        Ok(self.job((file.id, None), false, move || work(&file)))
    }

    /// OpenSSH's server answers this one otherwise where nothing is open.
    fn synced(&self, handle: &Handle) -> Result<Job, Status> {
        let (id, file) = (self.id, self.handles.file(handle).ok_or(Code::NoSuchFile)?);
        Ok(self.job((file.id, None), true, move || reply::done(id, file.sync())))
    }

    fn folder(&self, handle: &Handle, owners: Arc<Owners>) -> Result<Job, Status> {
        let (id, folder) = (self.id, self.handles.folder(handle).ok_or_else(Status::no_handle)?);
        let now = i64::try_from(clock::now().as_unix()).unwrap_or(i64::MAX);
        Ok(self.job((folder.id, None), false, move || folder.list(id, &Lister::new(&owners, now))))
    }

    /// Two files; a file cannot be copied onto itself.
    fn both(&self, from: &Handle, to: &Handle, work: impl FnOnce(&File, &File) -> Reply + Send + 'static) -> Result<Job, Status> {
        let found = self.handles.file(from).zip(self.handles.file(to));
        let (from, to) = found.filter(|(from, to)| from.id != to.id).ok_or_else(Status::no_handle)?;
        Ok(self.job((from.id, Some(to.id)), true, move || work(&from, &to)))
    }

    fn job(&self, files: Files, long: bool, work: impl FnOnce() -> Reply + Send + 'static) -> Job {
        let id = self.id;
        Job { files, long, work: Box::new(move || reply::finish(id, work())) }
    }
}
