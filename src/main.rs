//! The program: everything is in the library.

/// Gives memory back sooner than the system's own, and is quicker at the many small pieces of JSON.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rollcall::cli::main()
}
