# Homeostat. `make help` lists what there is.
SHELL := /bin/bash
GO ?= go
BIN := bin/homeostat
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LISTEN ?= 127.0.0.1:8080
DATA ?= ./.data
CONFIG ?=
FUZZTIME ?= 6m
DAYS ?= 20
PARTS ?= .
NAB ?= shared/data/nab

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  \1\t/' | expand -t 20

.PHONY: run
run: build ## build, and run the loop over this machine: LISTEN=127.0.0.1:9000 DATA=dir CONFIG=file
	$(BIN) run --listen $(LISTEN) --data $(DATA) $(if $(CONFIG),--config $(CONFIG))

.PHONY: build
build: ## build bin/homeostat
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/homeostat

.PHONY: release
release: ## build dist/ twice from one commit and hold the two binaries equal, byte by byte
	./deploy/release.sh $(VERSION)

.PHONY: test
test: tools-test ## everything that CI runs, with the race detector
	$(GO) test -race -timeout 15m ./...
	HOMEOSTAT_GAMEDAYS=1 $(GO) test -race -timeout 10m -run TestGameDays ./cmd/homeostat # by themselves: they measure this machine

.PHONY: tools-test
tools-test: # what the tests need besides Go
	@./deploy/test-needs.sh

.PHONY: lint
lint: ## gofumpt, go vet, staticcheck, go fix, and the import rules
	@out=$$($(GO) tool gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofumpt'd:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@out=$$($(GO) fix -diff ./... 2>&1); if [ -n "$$out" ]; then echo "$$out"; echo "go fix has work"; exit 1; fi
	$(GO) test -run 'TestImports|TestForbidden' .

.PHONY: bench
bench: bench-pipeline bench-events bench-rcf bench-train bench-forecast bench-runbooks ## the benchmarks behind the README's figures

.PHONY: bench-pipeline
bench-pipeline: ## remote write into stream and history on one core, the lag to the event, and memory
	$(GO) test -run '^$$' -bench 'Pipeline' -benchmem -cpu 1 ./cmd/homeostat

.PHONY: bench-events
bench-events: ## event patterns, events a second on one core
	$(GO) test -run '^$$' -bench 'Match|Load' -benchmem -cpu 1 ./eventpattern

.PHONY: bench-runbooks
bench-runbooks: ## 1,000 executions of ten steps in flight, with a durable journal: steps a second on two cores, and memory
	$(GO) test -run '^$$' -bench Executions -benchtime 3x -cpu 2 ./internal/runbook

.PHONY: bench-train
bench-train: ## train a detector's model on 30 days of a host's four features at one minute, one core
	$(GO) test -run '^$$' -bench 'Train30Days' -benchmem -cpu 1 -benchtime 3x ./internal/detect

.PHONY: soak-series
soak-series: build ## slow: one process over 20,000 series with a model each, memory and processor time; SERIES=n MINUTES=n
	HOMEOSTAT_SOAK=1 HOMEOSTAT_SERIES=$(or $(SERIES),20000) HOMEOSTAT_MINUTES=$(or $(MINUTES),600) \
		$(GO) test -timeout 4h -run ManySeriesSoak -v ./cmd/homeostat

.PHONY: bench-rcf
bench-rcf: ## random cut forest, points a second for score and update, one goroutine, and the model's bytes
	$(GO) test -run '^$$' -bench 'ScoreUpdate|Train' -benchmem -cpu 1 ./rcf

.PHONY: bench-forecast
bench-forecast: ## forecasts of one series, DeepAR's training and its kernels, on one core
	$(GO) test -run '^$$' -bench 'Forecast|Sample|Train|GEMM' -benchmem -cpu 1 ./forecast ./deepar

.PHONY: bench-hour
bench-hour: ## an hour ahead for 1,000 series at one minute, 100 paths, on two cores: time, processor time, memory; and what the detector takes
	$(GO) test -run '^$$' -bench ThousandSeries -benchtime 3x -cpu 2 ./deepar
	$(GO) test -run '^$$' -bench Forecasts -cpu 1 ./internal/detect/outlook

.PHONY: bench-access
bench-access: ## unusual access: figures beside the peers' on simulated organisations (SEEDS=1-5, WORLDS=plain or bare), accesses a second, IP Insights' speed
	$(GO) test -run '^$$' -bench Figures -benchtime 1x ./internal/detect/access
	$(GO) test -run '^$$' -bench 'Reader|Observe' -benchmem -cpu 1 ./internal/source/cloudtrail ./internal/detect/access
	$(GO) test -run '^$$' -bench 'Train|Score' ./ipinsights

.PHONY: bench-nab
bench-nab: build ## the Numenta Anomaly Benchmark over NAB=dir: three profiles, and a report with a chart for each file
	@test -d "$(NAB)/data" || { echo "NAB=dir: want a copy of the benchmark with data/ and labels/ ($(NAB) has none)"; exit 1; }
	rm -rf bin/nab && $(BIN) backtest --out bin/nab $(NAB)/data >bin/nab.txt
	HOMEOSTAT_NAB=$(abspath $(NAB)) HOMEOSTAT_NAB_SCORED=$(CURDIR)/bin/nab $(GO) test -count=1 -v -run 'TestNAB$$' ./internal/detect/evaluate
	@echo "report: bin/nab/report.html"

.PHONY: bench-quiet
bench-quiet: ## events a week on quiet hosts (30 days after 14 of learning) and of quiet endpoints; takes minutes
	HOMEOSTAT_BENCH=1 $(GO) test -count=1 -v -timeout 30m -run 'QuietWeeks' ./internal/detect ./internal/detect/outlook

.PHONY: bench-absences
bench-absences: ## how many rhythms that fail to come and silences are told, of made series; takes a minute or two
	HOMEOSTAT_BENCH=1 $(GO) test -count=1 -v -timeout 30m -run 'Absences' ./internal/detect

.PHONY: soak
soak: build tools-test ## slow: game days, kills, replays, property tests and three hours of fuzzing, 6 minutes for each target, with a summary; DAYS=n FUZZTIME=6m PARTS=regex
	GO=$(GO) DAYS=$(DAYS) FUZZTIME=$(FUZZTIME) PARTS='$(PARTS)' ./deploy/soak.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
