# `make` lists what one can do. `make demo` and `make test` are all a newcomer needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
BIN := bin/millrace
FUZZTIME ?= 10s
# One way to compile for all targets, so that what a test shares with the binary is compiled once.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath $(shell $(GO) env GOFLAGS)

.PHONY: help build demo test lint bench fuzz fmt check-tools golden readers

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check-tools:
	@./e2e/check-tools.sh

build: check-tools ## build bin/millrace (a first build downloads its modules)
	@./e2e/building.sh ./cmd/millrace $(WITH)
	$(GO) build -o $(BIN) ./cmd/millrace

# The programs beside millrace are built as it is, so that what they share is compiled once.
demo: WITH := ./e2e/demo
demo: build ## orders flow from MySQL into Parquet, are killed twice, and are compared row by row (ARGS=--keep leaves it running and says how to query it; ARGS=--s3 puts the lake into a bucket)
	$(GO) run ./e2e/demo --millrace $(BIN) $(ARGS)

test: check-tools ## every test, with real servers
	@./e2e/test.sh

lint: check-tools ## go vet, gofmt and golangci-lint when it is installed
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; else echo "golangci-lint is not installed: skipped"; fi

bench: WITH := ./e2e/bench
bench: build ## measure, beside Apache RocketMQ, and write docs/benchmarks.md
	$(GO) run ./e2e/bench --millrace $(BIN) $(ARGS)

fuzz: check-tools ## every fuzz target for FUZZTIME (10s)
	@./e2e/fuzz.sh $(FUZZTIME)

readers: check-tools ## ask every reader of the lake, two versions of Spark among them, for every type
	$(GO) test -count=1 -timeout 60m -v -run TestEveryReader ./sinks/parquet -readers

fmt: ## gofmt the tree
	gofmt -w $$(git ls-files '*.go')

golden: ## record golden bytes anew from Apache RocketMQ (needs a JDK and Maven)
	./e2e/golden/run.sh
