#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| petiole_bgp_fuzz::open(data));
