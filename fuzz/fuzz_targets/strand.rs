//! Feeds the fuzzer's bytes to `properties::strand`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::strand::check(data);
});
