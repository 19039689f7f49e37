# The two commands of the README are `make demo` and `make test`; both do all the set-up on a fresh machine, which needs
# Rust, a C++ compiler, python3 with pip, and make.

# torch-sys would otherwise look for a torch of its own; tools/libtorch.sh has already settled which one is used.
CARGO = env -u LIBTORCH_USE_PYTORCH -u LIBTORCH cargo
PROGRAM = target/release/densesiam

.PHONY: demo test build libtorch check parity bench clean

demo: build
	$(PROGRAM) demo

test: libtorch
	$(CARGO) test --release --workspace

build: libtorch
	$(CARGO) build --release --workspace

libtorch:
	@bash tools/libtorch.sh

# Everything a change must pass besides its tests. cargo-deny checks licences and advisories; it is used where it is
# installed (`cargo install cargo-deny`).
check: libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check licenses bans sources; \
	else echo "cargo-deny is not installed: licences were not checked"; fi

# The test vectors alone, from DENSESIAM_FIXTURES or the copies in fixtures/; families that a folder lacks are named.
parity: libtorch
	$(CARGO) test --release -p densesiam-data -p densesiam-metrics -p densesiam-nn parity -- --nocapture

# Ours and PyTorch's programs for the same work, in turn, as a table: docs/performance.md. PICTURES=FOLDER instead of made-up
# pictures; BENCH="--only views --rounds 5", or any other option of benches/pairs.py.
bench: build
	@bash tools/bench-python.sh
	python3 benches/pairs.py $(if $(PICTURES),--pictures "$(PICTURES)") $(BENCH)

clean:
	$(CARGO) clean
