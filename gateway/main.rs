//! The `keygate` binary: runs the library's command line, and turns its result into an exit code.

use std::process::ExitCode;

/// jemalloc takes less memory per stream and less time per request than glibc's allocator, by this gateway's benchmarks.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match keygate::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            keygate::print_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
