//! Feeds the fuzzer's bytes to `properties::open_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::open_header::check(data);
});
