# The commands of a developer; `make help` lists them. To deploy, use scripts/copyall.sh.
.DEFAULT_GOAL := help
SHELL := bash
HOST_ARCH = $(shell go env GOARCH)
GORELEASER = github.com/goreleaser/goreleaser/v2@v2.15.1
CYCLONEDX = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
FIGURES = docs/figures.md
ON_ENGINE = FIGURES=$(abspath $(FIGURES)) PUBLISH_MODE=host BASE_IMAGE=scratch E2E_ENGINE=local go test -count=1 -timeout 30m -run '^$$' -benchtime 1x
SERVICE_BINARY = build/accountservice-linux-$(HOST_ARCH)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve on http://127.0.0.1:6767, from build/accounts.db
	@mkdir -p build
	go build -o build/accountservice ./accountservice
	exec build/accountservice -addr 127.0.0.1:6767 -db build/accounts.db

build: ## compile the linux binary that goes into the image
	scripts/deploy.sh build --binary

image: ## wrap the binary in an image
	scripts/deploy.sh build

deploy: ## build, deploy to the swarm, and prove that the service answers
	scripts/copyall.sh

lint: lint-shell lint-go lint-ci ## shellcheck, gofmt, go vet for linux and darwin, staticcheck, actionlint

lint-shell:
	@command -v shellcheck >/dev/null || { echo "error: shellcheck is not installed: see https://www.shellcheck.net"; exit 1; }
	shellcheck scripts/*.sh release/*.sh e2e/*.sh deploy/scaffold/testdata/*/scripts/*.sh .ci/install .ci/run .ci/test

lint-go:
	@unformatted=$$(gofmt -l accountservice bench deploy docs e2e examples gatling release scripts); [[ -z $$unformatted ]] || { echo "gofmt: $$unformatted"; exit 1; }
	go build -modfile=.ci/tools.mod -o build/staticcheck honnef.co/go/tools/cmd/staticcheck
	go vet ./... && build/staticcheck ./...
	cd deploy && go vet ./... && ../build/staticcheck ./...
	CGO_ENABLED=0 GOOS=darwin go vet ./... && CGO_ENABLED=0 GOOS=darwin go build ./...
	cd deploy && CGO_ENABLED=0 GOOS=darwin go vet ./... && CGO_ENABLED=0 GOOS=darwin go build ./...

lint-ci:
	go build -modfile=.ci/tools.mod -o build/actionlint github.com/rhysd/actionlint/cmd/actionlint
	build/actionlint .github/workflows/*.yml deploy/scaffold/testdata/*/.github/workflows/*.yml

test: ## lint, run all tests, and list the tests that could not run; E2E=required: fail then
	.ci/test

unit: ## the tests that need no engine
	.ci/test unit

engine-test: ## deploys to real engines
	.ci/test engines

# All figures are written at the end: a changed page would make the version of the next build a dirty one.
figures: ## measure again the figures between marks in docs/figures.md, on its own engine, as root; 20 minutes
	.ci/install
	mkdir -p build && cp $(FIGURES) build/figures.md
	E2E=required $(MAKE) bench-load bench-deploy bench FIGURES=build/figures.md
	cp build/figures.md $(FIGURES) && cp build/footprint.svg $(dir $(FIGURES))

loadtest: ## measure memory, CPU and response times of the running service under load
	scripts/loadtest.sh

bench: bench-build ## compare the service with a bare net/http server, 7 minutes; BENCH='-rounds 1': see bench/main.go
	set -o pipefail; go test -run '^$$' -bench . -count 6 ./accountservice ./accountservice/httpapi ./accountservice/boltstore | tee build/bench.txt
	build/bench -service $(SERVICE_BINARY) -bare build/bench-bare -into $(FIGURES) $(BENCH)

bench-deploy: ## measure the time of deploys, of docker stack deploy and of commands by hand, on its own engine; 8 minutes
	$(ON_ENGINE) -bench Deploy ./e2e

bench-load: ## the load test with 1,000 and with 200 users, on its own engine; 4 minutes
	$(ON_ENGINE) -bench Load ./e2e

pgo: bench-build ## renew the profile that the compiler uses to optimise the service, a good minute
	build/bench -service $(SERVICE_BINARY) -profile accountservice/default.pgo -duration 60s

bench-build:
	GOARCH=$(HOST_ARCH) scripts/deploy.sh build --binary
	go build -o build/bench ./bench
	go build -pgo=off -o build/bench-bare ./bench/bare

mesh: ## rolling updates under load through a real routing mesh, in a virtual machine
	e2e/vm.sh build
	trap 'e2e/vm.sh down' EXIT; e2e/vm.sh up && \
	  E2E_MESH=1 E2E_DOCKER_HOST=tcp://127.0.0.2:2375 go test -count=1 -timeout 60m -v -run TestMesh ./e2e/

CHAOS_ROUNDS ?= 20
chaos: ## random faults in the middle of deploys, half a minute each; CHAOS_ROUNDS, CHAOS_SEED, CHAOS_NODES=5, E2E_ENGINE=modern
	CHAOS_ROUNDS=$(CHAOS_ROUNDS) go test -count=1 -timeout 170m -v -run TestChaos ./e2e

many: ## connect 20,000 clients of each kind to a service with 128 MiB, 2 minutes, as root; MANY_CLIENTS
	MANY_CLIENTS=$(or $(MANY_CLIENTS),20000) go test -count=1 -v -run TestManyClients ./accountservice

soak: ## half an hour with 1,000 requests/s and 10,000 clients that come and go: memory must not grow; SOAK=1m
	SOAK=$(or $(SOAK),30m) go test -count=1 -timeout 90m -v -run TestSoak ./accountservice
	if command -v gnuplot >/dev/null; then gnuplot bench/soak.gnuplot; fi

release: release-tools ## publish the tag that is checked out: programs, checksums, SBOMs, image; IMAGE=registry/name
	release/image.sh check "$(IMAGE)"
	build/goreleaser release --clean --release-notes <(awk '/^## /{ n++ } n == 1' CHANGELOG.md)
	release/image.sh push "$(IMAGE)"

release-dry: release-tools ## make all files of a release in build/dist, but no image, and publish nothing
	build/goreleaser release --snapshot --clean --skip=publish

release-tools:
	GOBIN=$(CURDIR)/build go install $(GORELEASER)
	GOBIN=$(CURDIR)/build go install $(CYCLONEDX)

vuln: ## look for known vulnerabilities in the compiled modules
	release/vuln.sh $(GOVULNCHECK)

clean: ## remove all built files
	rm -rf build gatling/target

.PHONY: help run build image deploy lint lint-shell lint-go lint-ci test unit engine-test figures loadtest bench bench-deploy bench-load pgo bench-build mesh chaos many soak release release-dry release-tools vuln clean
