# Short names for plain cargo. `just` lists them.

# List the recipes
_list:
    @just --list

# What CI checks, in CI's order (needs root on Debian to install what is missing)
check:
    .ci/run

# Format
fmt:
    cargo fmt

# Lints, as CI has them
lint:
    cargo clippy --all-targets -- -D warnings

# All tests; PostgreSQL too when TEST_DATABASE_URL is set
test *ARGS:
    cargo test {{ARGS}}

# The documentation of the code
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Licences, banned crates, sources
deny:
    cargo deny check bans licenses sources

# The benchmarks
bench:
    cargo bench

# A throw-away instance full of made-up people
demo:
    cargo run --release -- demo

# The recorded authentik exchanges, on `sqlite` or `postgres`
golden DATABASE="sqlite":
    cargo build --release && scripts/golden {{DATABASE}}
