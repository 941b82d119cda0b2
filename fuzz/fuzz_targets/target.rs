//! Feeds the fuzzer's bytes to `properties::target`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::target::check(data);
});
