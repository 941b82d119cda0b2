//! Feeds the fuzzer's bytes to `properties::proxy_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::proxy_header::check(data);
});
