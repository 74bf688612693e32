#!/bin/bash
# Fuzzes the codec with libFuzzer and a stable compiler: fuzz.sh [SECONDS [TARGET...]]. Default: 60 seconds, every target.
# Stops at the first finding, which is then in artifacts/. See README.md.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(message open notification route_refresh update)

# What `cargo fuzz build -s none` passes. Counters, comparisons and their places feed libFuzzer; the target triple keeps
# build scripts and procedural macros free of it.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1" \
    cargo build --release --target "$host" $(printf -- '--bin %s ' "${targets[@]}")
binaries=target/$host/release

# Without those flags: it does not link libFuzzer, which they call into.
cargo run --release --quiet --bin seeds -- corpus
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "artifacts/$target"
    echo "== $target, $seconds s"
    nice -n 19 "$binaries/$target" "corpus/$target" -max_total_time="$seconds" -max_len=8192 -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="artifacts/$target/" 2>&1 |
        grep -E "^(#[0-9]+.*DONE|stat::|==|SUMMARY|thread|panicked|Test unit|artifact)|DONE|panicked"
done
