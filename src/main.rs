//! The `callgate` binary: everything it does is in the library.

use std::process::ExitCode;

/// A call of `AuthorizeTool` makes about a hundred small allocations, on one thread, and frees them on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    callgate::cli::run(std::env::args_os())
}
