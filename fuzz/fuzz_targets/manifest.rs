//! Feeds the fuzzer's bytes to `properties::manifest`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::manifest::check(data);
});
