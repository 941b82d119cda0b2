//! Feeds the fuzzer's bytes to `properties::sftp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::sftp::check(data);
});
