//! Feeds the fuzzer's bytes to `properties::workspace_shard`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::workspace_shard::check(data);
});
