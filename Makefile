# What a developer runs; `make help` lists it. Deploying is scripts/copyall.sh.
.DEFAULT_GOAL := help
SHELL := bash
GO_TEST := go test -race -timeout 20m

help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## /  make \1@/p' $(MAKEFILE_LIST) | column -t -s @

run: ## serve on http://127.0.0.1:6767, from build/accounts.db
	@mkdir -p build
	go build -o build/accountservice ./accountservice
	exec build/accountservice -addr 127.0.0.1:6767 -db build/accounts.db

build: ## compile the linux binary that goes into the image
	scripts/build.sh

image: build ## wrap the binary in an image
	scripts/image.sh

deploy: ## build, deploy to the swarm, and prove that it answers
	scripts/copyall.sh

lint: ## shellcheck, gofmt, go vet, staticcheck
	@command -v shellcheck >/dev/null || { echo "error: shellcheck is not installed: see https://www.shellcheck.net"; exit 1; }
	shellcheck scripts/*.sh e2e/*.sh .ci/run
	@unformatted=$$(gofmt -l accountservice e2e scripts); [[ -z $$unformatted ]] || { echo "gofmt: $$unformatted"; exit 1; }
	go vet ./...
	go tool -modfile=.ci/tools.mod staticcheck ./...

test: lint ## lint, then all tests; E2E=required: also fail where there is no engine to be had
	$(GO_TEST) ./accountservice/... ./scripts/...
	$(GO_TEST) -count=1 -v ./e2e/...

clean: ## remove what was built
	rm -rf build

.PHONY: help run build image deploy lint test clean
