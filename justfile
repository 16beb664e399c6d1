# Single steps of ./test, and a few more: `just --list` says what each does.

# What ./test runs, but for the containers.
default: fmt lint test package web manifests

# What a change most likely breaks, in less than three minutes once it is built: lints, units, the stores, JavaScript.
quick: fmt lint
    cargo test --workspace --lib --bins
    cargo test --package outlast-store --test embedded
    cargo test --package outlast-gateway --package outlast-sessions --package outlast-worker
    cd web && npm run types && npm test

# Formatting.
fmt:
    cargo fmt --all --check

# Lints, warnings refused.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Rust tests; the system tests start a redis-server of their own.
test:
    OUTLAST_ORDERS=1000000 cargo test --workspace

# The crates as they would be published.
package:
    cargo package --workspace --quiet --allow-dirty --no-verify

# The JavaScript client: types, unit tests, and the pages in a real browser.
web:
    cd web && npm ci && npm run types && npm test && npm run test:browser

# The manifests: schemas, policy, alerts.
manifests:
    cargo build --quiet
    OUTLAST_BIN=target/debug/outlast deploy/test/run

# The fleet of docker-compose.yml in containers, replaced and killed under clients (needs podman, as root).
containers:
    deploy/test/containers

# Licences and advisories of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# The path's latency, throughput and memory, beside their baselines.
bench:
    cargo bench --bench path

# Both decoders under libFuzzer for a minute each (needs cargo-fuzz and a nightly toolchain).
fuzz: (fuzz-codec "json") (fuzz-codec "msgpack")

[private]
fuzz-codec codec:
    cd protocol && mkdir -p fuzz/corpus/decode_{{codec}} && cargo +nightly fuzz run decode_{{codec}} \
        fuzz/corpus/decode_{{codec}} fuzz/seeds/{{codec}} -- -dict=fuzz/{{codec}}.dict -max_total_time=60
