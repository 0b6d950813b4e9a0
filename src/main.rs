//! Parse, run, exit code: everything else is in the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The system's own keeps for good what the first polls of a large fleet take.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    balance_exporter::cli::main()
}
