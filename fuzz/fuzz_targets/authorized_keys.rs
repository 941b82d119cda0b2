//! Feeds the fuzzer's bytes to `properties::authorized_keys`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::authorized_keys::check(data);
});
