//! Feeds the fuzzer's bytes to `properties::key_shard`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::key_shard::check(data);
});
