#!/bin/sh
# Cargo's RUSTC_WRAPPER: the compiler, told to be quiet about what it would only advise. InfluxDB's Rust library makes
# every warning an error, and compilers newer than it warn of more. RUSTFLAGS would not do: with --target, as here,
# Cargo keeps them from build scripts and from what these link, which the library itself is.
exec "$@" --cap-lints allow
