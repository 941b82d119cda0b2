//! Feeds the fuzzer's bytes to `properties::key_line`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::key_line::check(data);
});
