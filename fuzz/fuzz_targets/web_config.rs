#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    balance_exporter_fuzz::web_config(data);
});
