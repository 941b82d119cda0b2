//! Feeds the fuzzer's bytes to `properties::frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::frames::check(data);
});
