//! The runtimes of both programs: how many threads there are, and how often they look at their sockets.

use super::allocator;
use std::{io, num::NonZero, thread};
use tokio::runtime::{Builder, Runtime};

/// Tasks that a thread runs between two looks at its sockets. One that carries bulk takes a hundred microseconds, and at tokio's
/// 61 a keystroke waits for milliseconds until anybody knows of it; a look costs one.
const EVENT_INTERVAL: u32 = 2;

/// For a jump host. One core is left to the kernel, which has half of the work: threads that wake one another for it cost more
/// than they do.
pub fn of_daemon() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    build(Builder::new_multi_thread().worker_threads(cores.saturating_sub(1).max(1)))
}

/// For a workspace: one thread, since its work is one long chain from a socket to another, and waking other threads for parts of
/// it cost more than they did. Whoever would wait has threads of their own. It is a worker, not the thread that starts it: a worker
/// goes on with the task that the last one woke, so that a keystroke runs down its chain, where tokio's current-thread runtime
/// lets every link wait behind the bulk of others.
pub fn of_agent() -> io::Result<Runtime> {
    build(Builder::new_multi_thread().worker_threads(1))
}

/// What comes of `main` on `runtime`. A thread beside that still waits then, for a file system that does not answer, keeps no process.
pub fn run<F: Future>(runtime: Runtime, main: F) -> F::Output {
    let output = runtime.block_on(main);
    runtime.shutdown_background();
    output
}

fn build(builder: &mut Builder) -> io::Result<Runtime> {
    builder.event_interval(EVENT_INTERVAL).on_thread_park(allocator::give_back).enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use tokio::task::spawn_blocking;

    #[test]
    fn nobody_waits_for_a_thread_that_does_not_come_to_an_end() {
        let (end, ended) = sync_channel::<()>(0);
        let out = run(of_agent().unwrap(), async {
            drop(spawn_blocking(move || ended.recv()));
            7
        });
        assert_eq!(out, 7);
        drop(end);
    }
}
