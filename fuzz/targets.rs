//! The targets of the ordinary tests, for a fuzzer that sees which branches an input takes:
//!
//! ```console
//! $ fuzz/seed bridge
//! $ RUSTC_BOOTSTRAP=1 cargo fuzz run bridge
//! ```

#![allow(dead_code, unreachable_pub, reason = "the modules are those of the tests, which use more of them")]

#[path = "../tests/numbers/bench.rs"]
mod bench;
#[path = "../tests/numbers/json.rs"]
mod json;
#[path = "../tests/numbers/judge.rs"]
mod judge;
#[path = "../tests/numbers/state.rs"]
mod state;
#[path = "../tests/numbers/target.rs"]
mod target;

macro_rules! targets {
    ($($name:ident),*) => {
        $(
            /// One input.
            pub fn $name(data: &[u8]) {
                target::$name(data);
            }
        )*
    };
}

targets!(dialog, payby, bridge, smilepayz, token, retry_after, config, labels, web_config, state);
