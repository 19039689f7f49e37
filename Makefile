# The two commands of the README are `make demo` and `make test`; both do all the set-up on a fresh machine, which needs
# Rust, a C++ compiler, python3 with pip, and make.

# torch-sys would otherwise look for a torch of its own; tools/libtorch.sh has already settled which one is used.
CARGO = env -u LIBTORCH_USE_PYTORCH -u LIBTORCH cargo
PROGRAM = target/release/densesiam
# Other tools, to which the tests give what is exported.
INTEROP = $(CURDIR)/.interop-python

.PHONY: demo test build install wheel dist libtorch check parity interop endurance fuzz bench docs clean

demo: build
	$(PROGRAM) demo

# Where Python packages or NVIDIA's compiler cannot be fetched, the tests that need them say so and are left out.
test: libtorch
	@if bash tools/interop-python.sh some; then export DENSESIAM_INTEROP_PYTHON="$(INTEROP)"; \
	else echo "Python packages were not fetched: ONNX, TensorBoard and WebDataset are not checked"; fi; \
	if nvrtc=$$(bash tools/nvrtc.sh); then export DENSESIAM_NVRTC="$$nvrtc"; \
	else echo "NVIDIA's compiler was not fetched: the kernels for CUDA are not compiled"; fi; \
	$(CARGO) test --release --workspace

build: libtorch
	$(CARGO) build --release --workspace

# The program and the libraries that it loads, under PREFIX, which may be moved as a whole: make install PREFIX=/opt/densesiam
PREFIX = $(HOME)/.local
install: build
	@bash tools/install.sh "$(PROGRAM)" "$(DESTDIR)$(PREFIX)"

# The Python wheel in target/wheels, tried in a virtual environment of its own: docs/python.md.
wheel: build
	@bash tools/wheel.sh "$(PROGRAM)" try

# A tarball for other Linux machines in target/dist, with the licences of everything in it.
dist: build
	@bash tools/dist.sh "$(PROGRAM)"

libtorch:
	@bash tools/libtorch.sh

# Everything a change must pass besides its tests.
check: libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps
	@bash tools/dependencies.sh

# The test vectors alone, from DENSESIAM_FIXTURES or the copies in fixtures/; families that a folder lacks are named.
parity: libtorch
	$(CARGO) test --release -p densesiam-data -p densesiam-geometry -p densesiam-metrics -p densesiam-nn parity -- --nocapture
	$(CARGO) test --release -p densesiam-nn parity -- --nocapture --ignored --test-threads=1

# What is exported, read by all the tools that it is for: PyTorch, torchvision, timm, OpenMMLab's engine and onnxruntime,
# fetched by pip into .interop-python (6 GB on disk, once).
interop: libtorch
	@bash tools/interop-python.sh all
	DENSESIAM_INTEROP_PYTHON=$(INTEROP) $(CARGO) test --release -p densesiam-cli --test it interop -- --nocapture

# The tests that take minutes: memory over two thousand steps.
endurance: libtorch
	$(CARGO) test --release -p densesiam-cli --test it endurance -- --nocapture --include-ignored

# One target of fuzz/targets, or all of them in turn: make fuzz FUZZ=pickle RUNS=1000000, or SECONDS=600 in place of RUNS.
FUZZ = all
fuzz:
	fuzz/run.sh $(FUZZ) $(if $(RUNS),-runs=$(RUNS)) $(if $(SECONDS),-max_total_time=$(SECONDS)) \
		$(if $(RUNS)$(SECONDS),,-max_total_time=60)

# Ours and PyTorch's programs for the same work, in turn, as a table: docs/performance.md. PICTURES=FOLDER instead of made-up
# pictures; BENCH="--only views --rounds 5", or any other option of benches/pairs.py.
bench: build
	@bash tools/bench-python.sh
	python3 benches/pairs.py $(if $(PICTURES),--pictures "$(PICTURES)") $(BENCH)

# docs/ as a book, in target/book, with every link within it checked; mdBook is built into .tools once.
docs:
	@bash tools/book.sh

clean:
	$(CARGO) clean
