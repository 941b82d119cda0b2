//! Feeds the fuzzer's bytes to `properties::directory`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::directory::check(data);
});
