# check is what CI decides by; the other targets are parts of it.
.PHONY: check quick lint fuzz bench deps

check:
	.ci/run

# What a change needs in two minutes.
quick:
	.ci/run format vet
	go test ./...

# Linters with opinions; see .golangci.yml. Not part of check: it takes minutes
# to build.
lint:
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

# Every fuzz target for a minute, or: make fuzz FUZZTIME=10m
FUZZTIME ?= 1m
fuzz:
	FUZZTIME=$(FUZZTIME) .ci/run fuzz

# Freshet beside other libraries; BENCH=-help tells what there is to choose, and
# BENCH='-out results' writes down what comes out.
BENCH ?=
bench:
	go run -C internal/bench . $(BENCH)

# Accept the dependencies as they are now.
deps:
	go test -run TestDeps -update .
