//! Feeds the fuzzer's bytes to `properties::answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::answer::check(data);
});
