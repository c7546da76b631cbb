# FlowTap. `make demo` and `make test` work as the first command on a fresh Debian 12 with Go and
# make: they install what is missing.

GO      ?= go
GOFLAGS += -buildvcs=false
export GOFLAGS

# Seconds of fuzzing in `make test`, shared by all targets. An hour each: make fuzz FUZZTIME=60000
FUZZTIME ?= 40
# Tunnel type of the lab: geneve, vxlan or gre.
TUNNEL   ?= geneve
# Layout of its nodes: one-bridge or two-bridge.
LAYOUT   ?= one-bridge
# Labs side by side: a lab mostly waits.
JOBS     ?= 3
# Arguments of `make lab` (scenario names) and `make bench`; all without.
ARGS     ?=

# The lab makes network namespaces, which needs root.
AS_ROOT = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTHON  = /usr/bin/python3

.PHONY: help build deps check fmt vet staticcheck unit fuzz lab chaos test demo bench gosec vuln clean

help: ## Show what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: ## Build flowtapd and flowtapctl into bin/, and what the lab needs beside them.
	@echo "Building flowtapd and flowtapctl (the first time fetches and compiles etcd, which takes a while) ..."
	@mkdir -p bin
	@$(GO) build -o bin/ ./cmd/... ./test/chaos/...
	@$(GO) build -o bin/etcd go.etcd.io/etcd/server/v3

deps: ## Install Open vSwitch, Mininet and tools from Debian, where missing.
	@sh scripts/install-deps.sh

check: fmt vet staticcheck ## All that needs no root: format, vet, staticcheck, unit tests with the race detector.
	$(GO) test -short -race -p 4 ./... # many of them wait more than they work

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	$(GO) tool staticcheck ./...

# Rule G115 reports every conversion of a number. In the packages of wire formats, matches and tables they are what
# the code is about: fields of 8 to 64 bits, cut by masks and shifts, lengths that Append and putLen16 check, numbers
# that flowtap.Validate bounds. All 136 there were read one by one; their round trips are fuzzed. Elsewhere each is explained in its line.
GOSEC_RULES = (openflow|flowtap)/.*:G115

gosec: bin/gosec ## Look for known mistakes. The first time compiles gosec, which takes minutes.
	bin/gosec -quiet -exclude-rules '$(GOSEC_RULES)' ./...

vuln: bin/govulncheck ## Ask the Go vulnerability database about what we depend on.
	@bin/govulncheck ./... || { \
		[ $$? -eq 3 ] && exit 3; \
		echo "govulncheck could not do its work: does this machine reach https://vuln.go.dev?" >&2; exit 1; }

# Tools have a module of their own: what they depend on is no part of ours.
bin/gosec: tools/go.mod
	cd tools && $(GO) build -o ../bin/ github.com/securego/gosec/v2/cmd/gosec

bin/govulncheck: tools/go.mod
	cd tools && $(GO) build -o ../bin/ golang.org/x/vuln/cmd/govulncheck

unit: deps ## All Go tests, those against a real Open vSwitch included, with the race detector.
	$(GO) test -race -timeout 12m ./...
	$(GO) test -timeout 12m -run 'Mediation|Interleaving|Epochs|AddUp' ./flowtap/pipeline # all cases, which the race detector makes too slow

fuzz: ## All fuzz targets, for FUZZTIME seconds together.
	@sh scripts/fuzz.sh $(FUZZTIME)

lab: deps build ## The Mininet scenarios on real Open vSwitch. ARGS="taps migration" runs some.
	@[ -z "$(AS_ROOT)" ] || echo "The lab makes network namespaces, which needs root; asking sudo."
	$(AS_ROOT) $(PYTHON) test/mininet/run.py --tunnel $(TUNNEL) --layout $(LAYOUT) --jobs $(JOBS) $(LABFLAGS) $(ARGS)

chaos: LABFLAGS = --chaos-seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))
chaos: ARGS = chaos
chaos: JOBS = 1
chaos: lab ## Faults for SECONDS (600) in the order of SEED, and what must hold all the same. make test has a short one.

test: LABFLAGS = --every-kind
test: deps fmt vet staticcheck unit fuzz lab ## Everything; of the lab a part over the other tunnel types and in the other layout, too.

demo: deps build ## Three nodes, the DVD rental, taps, a migration. KEEP=1 leaves it running.
	@[ -z "$(AS_ROOT)" ] || echo "The demo makes network namespaces, which needs root; asking sudo."
	@$(AS_ROOT) $(PYTHON) test/mininet/demo.py $(if $(KEEP),--keep)

bench: deps build ## Benchmarks: Go's, then the lab's. ARGS="--quick" is short, ARGS="--lab-only moves" a part.
	@sh scripts/bench.sh $(ARGS)

clean: ## Remove what was built.
	rm -rf bin
