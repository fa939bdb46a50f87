//! Decides how the process ends; everything else is in the library.

use std::process::ExitCode;

/// Less memory per stream and less time per request than glibc's, measured on this gateway's base.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match keygate::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            keygate::cli::print_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
