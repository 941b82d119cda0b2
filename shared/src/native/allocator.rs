//! The allocator of both programs as they are shipped: mimalloc, and pages of their own for what is large.
//!
//! musl's gives every larger buffer back to the kernel and takes it again, for each packet. mimalloc, like musl's `calloc`, writes
//! zeros into cleared memory that it does not know to be fresh: of the 3 MiB that a QUIC end point receives into, an idle tunnel
//! uses one page, and all of it was resident. Pages of one's own are clear untouched, and the machine's again once freed.

use libmimalloc_sys::mi_collect;
use mimalloc::MiMalloc;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};
use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
    time::{Duration, Instant},
};

/// From here on memory has pages of its own, in bytes.
const LARGE: usize = 1 << 20;
/// As far as pages are aligned on every machine.
const PAGE: usize = 4096;
/// Between two times that a thread gives back what it has no use for: what is free for less is soon used again.
const GIVES_BACK_EVERY: Duration = Duration::from_secs(5);

/// For `#[global_allocator]`. Its functions are inlined nowhere: the choice, at every place that allocates, made a fiftieth of the
/// agent.
#[derive(Debug)]
pub struct Allocator;

/// Whether such a block has pages of its own: the layout, which callers have to repeat, says so alone.
const fn has_pages(size: usize, align: usize) -> bool {
    size >= LARGE && align <= PAGE
}

/// For a thread that goes to sleep: gives pages that are free back to the machine, now and then. mimalloc does so by itself only
/// while it is asked for more, and who sleeps does not ask.
#[allow(unsafe_code)]
pub fn give_back() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now.duration_since(last) >= GIVES_BACK_EVERY) {
        LAST.set(Some(now));
        // SAFETY: it has no terms, and touches only what is free.
        unsafe { mi_collect(true) };
    }
}

#[allow(unsafe_code)]
fn map(size: usize) -> *mut u8 {
    // SAFETY: new pages, where the kernel likes them: nobody's memory is touched.
    let pages = unsafe { mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    pages.map_or(ptr::null_mut(), <*mut _>::cast)
}

// SAFETY: every block is allocated, resized and freed in one of two sound ways, as its layout says. To that one the caller's
// promises are passed on. A block of pages is as large as the layout says, and the kernel rounds up every time alike.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if has_pages(layout.size(), layout.align()) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises are the callee's terms.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if has_pages(layout.size(), layout.align()) {
            return map(layout.size());
        }
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if has_pages(layout.size(), layout.align()) {
            // SAFETY: `map` made the block, and the caller gives it up. It fails only for what is no block.
            let _ = unsafe { munmap(block.cast(), layout.size()) };
            return;
        }
        // SAFETY: as above, and mimalloc made the block.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the block stays with who made it, or all that fits into both is copied from one into another.
        unsafe {
            match (has_pages(layout.size(), layout.align()), has_pages(size, layout.align())) {
                (true, true) => {
                    let pages = mremap(block.cast(), layout.size(), size, MremapFlags::MAYMOVE);
                    pages.map_or(ptr::null_mut(), <*mut _>::cast)
                }
                (false, false) => MiMalloc.realloc(block, layout, size),
                (true, false) | (false, true) => {
                    let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;

    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
    }

    #[test]
    fn who_goes_to_sleep_gives_back_what_is_free() {
        const BLOCKS: usize = 1024;
        let layout = Layout::from_size_align(16 << 10, 16).unwrap();
        // SAFETY: each block is used within its size, and freed once with its own layout.
        unsafe {
            let blocks: Vec<_> = (0..BLOCKS).map(|_| Allocator.alloc(layout)).collect();
            blocks.iter().for_each(|block| block.write_bytes(7, layout.size()));
            blocks.into_iter().for_each(|block| Allocator.dealloc(block, layout));
        }
        let held = resident();
        give_back();
        let kept = resident();
        assert!(kept + BLOCKS * layout.size() / 4 < held, "{held} -> {kept}");
    }

    #[test]
    fn what_is_large_is_untouched_until_it_is_used() {
        let layout = Layout::from_size_align(64 * LARGE, 1).unwrap();
        let before = resident();
        // SAFETY: the block is used within its size, and freed once with its own layout.
        unsafe {
            let block = Allocator.alloc_zeroed(layout);
            block.add(layout.size() - 1).write(1);
            assert!(resident() < before + 32 * LARGE);
            Allocator.dealloc(block, layout);
        }
    }

    #[test]
    fn what_crosses_the_line_keeps_its_bytes() {
        let layout = |size| Layout::from_size_align(size, 64).unwrap();
        for sizes in [[LARGE - 1, LARGE, LARGE / 2], [LARGE, LARGE - 1, 2 * LARGE], [64, 128, 64], [LARGE, 3 * LARGE, LARGE]] {
            // SAFETY: each block is used within its size, resized with its own layout, and freed once.
            unsafe {
                let mut block = Allocator.alloc_zeroed(layout(sizes[0]));
                assert!((0..sizes[0]).all(|at| block.add(at).read() == 0));
                (0..64).for_each(|at| block.add(at).write(at as u8));
                for [from, to] in [[sizes[0], sizes[1]], [sizes[1], sizes[2]]] {
                    block = Allocator.realloc(block, layout(from), to);
                    assert!((0..64).all(|at| block.add(at).read() == at as u8));
                    assert_eq!(block.align_offset(64), 0);
                    block.add(to - 1).write(7);
                }
                Allocator.dealloc(block, layout(sizes[2]));
            }
        }
    }
}
