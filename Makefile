# Two commands on a fresh Debian 12 machine with Rust, as root: `make demo` and `make test`.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help deps build demo test check bench fuzz clean

help: ## What there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

deps: ## Install what is missing of Debian's packages (root)
	@netns-tests/install-deps

build: deps
	$(CARGO) build --workspace --all-targets

demo: deps ## The seed's topology: two FRR leafs, two hosts, a ping between containers
	$(CARGO) build --workspace --bins
	$(CARGO) run --quiet -p petiole-netns-tests --bin lab -- demo examples/topologies/contiv-l3/contiv-l3.clab.yml

test: deps ## Everything: formatting, lints, unit, kernel and end-to-end tests, a short fuzz run
	netns-tests/run-all

check: ## Formatting, lints, dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	 else echo "skipped: cargo deny is not installed (cargo install cargo-deny)"; fi

bench: deps ## Codec, decision process, RIB memory, FIB batches, and the daemon beside BIRD and FRR
	netns-tests/bench-all

fuzz: ## Ten minutes on every decoder
	@netns-tests/install-deps fuzz
	bgp/fuzz/fuzz.sh 600

clean:
	$(CARGO) clean
