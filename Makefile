# Every command of this project, one line each; cargo and scripts/ do the work.
.DEFAULT_GOAL := help
.PHONY: help run test test-full torture bench fuzz check fmt lint

TESTS := --workspace --no-fail-fast
# Most tests wait for something most of the time.
export RUST_TEST_THREADS ?= 4

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and start the sandbox: the bridge between simulated neighbours, with a web page (ARGS="--listen 127.0.0.1:9000")
	@echo "Building the sandbox. A first build takes some minutes."
	cargo run -p causeway -- sandbox $(ARGS)

# One build for the program and the tests, so that nothing is compiled twice with other features.
# The tests start the program as a process: target/debug/causeway.
test: ## install what the tests need where it is missing, and run them (RabbitMQ 4.3 in full, 3.10 for the contract suite)
	@scripts/install-test-deps
	@echo "Building the program and the tests. A first build takes some minutes."
	cargo build --workspace --bins --tests --examples
	cargo test $(TESTS)

test-full: ## the same with the long tests, and more cases of every property
	@scripts/install-test-deps
	@echo "Building the program and the tests. A first build takes some minutes."
	cargo build --workspace --bins --tests --examples
	PROPTEST_CASES=2048 cargo test $(TESTS) -- --include-ignored

torture: ## ten minutes of load while everything fails (SEED=… repeats a run; LENGTH=600 seconds, CONVERSATIONS=200 by text and a quarter as many by mail, RABBITMQ=3.10)
	@scripts/install-test-deps
	@echo "Building the program and the tests. A first build takes some minutes."
	cargo build --workspace --bins --tests
	CAUSEWAY_TORTURE_SEED=$(SEED) CAUSEWAY_TORTURE_SECONDS=$(LENGTH) CAUSEWAY_TORTURE_CONVERSATIONS=$(CONVERSATIONS) \
		$(if $(filter 3.10,$(RABBITMQ)),CAUSEWAY_TORTURE_OLD=1) \
		cargo test --workspace --test it torture::ten_minutes -- --ignored --nocapture

bench: ## measure Causeway beside the least a relay can do, and its parts (BENCH_FULL=1 with a million messages waiting)
	@scripts/install-test-deps
	@echo "Building optimised. A first build takes some minutes."
	cargo build --release -p causeway -p tests --bin causeway --bench relay --bench mail --bench media
	cargo bench --profile release -p causeway -p tests --bench relay -- $(if $(BENCH_FULL),--full) $(BENCH)
	cargo bench --profile release -p causeway -p tests --bench mail
	cargo bench --profile release -p causeway -p tests --bench media
	cargo bench -p broker --bench embedded
	cargo bench -p ledger --bench sqlite
	cargo bench -p ledger --bench postgres

fuzz: ## feed the readers of mail and the SMTP session with what breaks them (SECONDS=600 for each)
	@scripts/fuzz $(or $(SECONDS),600)

check: lint ## format, lints and documentation, as CI looks at them
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

lint: ## what CI refuses: unformatted code and clippy's warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

fmt: ## format the code
	cargo fmt --all
