# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.

# Every recipe that compiles runs through tools/toolchain, which installs what
# is missing and sets the environment; Q shows one line of its progress.
T = tools/toolchain
Q = $T tools/quietly

crates = build/crates
module = build/kernel/misc/amd64/clinet
driver = build/kernel/drv/amd64/clinetctl
lab = build/lab
clinetadm = build/clinetadm
clinetd = build/clinetd
foreign = $(patsubst tests-user/foreign/%.c,build/foreign/%, \
	$(wildcard tests-user/foreign/provider_*.c)) build/foreign/example \
	build/foreign/registry build/foreign/vm_helper
rust_provider = build/foreign/example_rust

cflags = --target=x86_64-pc-solaris2.11 $(shell cat kmod/cflags) \
	-Iinclude -Iinclude/kern

# The programs are compiled together, each dependency once and with one set of
# features. The harness is for Linux.
programs = $(clinetadm) $(clinetd) $(if $(filter SunOS,$(shell uname -s)),,$(lab))
packages = --release $(addprefix --package ,$(patsubst lab,clinet-lab,$(notdir $(programs))))
folder = release
what = the programs
# Those of `make test` are compiled with their tests, and linted on the way.
checks: packages = --workspace --exclude clinet-slices --lib --bins --tests --bench registry
checks: folder = debug
checks: what = the programs and their tests
checks: linted = tools/linted

# Options of the bench, files by their whole names: make bench BENCH='--rows pair'
BENCH =

# Options of the chaos: make chaos CHAOS='--seconds 60 --seed 4711'
CHAOS =

# Which changes `make mutants` makes: options of cargo mutants --list.
MUTANTS = -f 'kmod/src/attach/*.rs'

# Where `make install` puts things, and to where `make package` publishes.
DESTDIR =
REPO =
version = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: all module lab tool agent demo demo-cluster chaos bench bench-cluster test \
	checks check-module fmt lint lint-kernel doc doc-lab headers columns \
	reproducible scripts man install package vm-test fuzz mutants model \
	captures completions check-illumos clean help FORCE

all: module lab tool agent ## Build the modules and the programs (the default)

module: $(module) $(driver) ## Build the modules below build/kernel: misc/clinet and drv/clinetctl

lab: $(lab) ## Build build/lab, the tool that loads and drives the module

tool: $(clinetadm) ## Build build/clinetadm, which shows and steers the module

agent: $(clinetd) ## Build build/clinetd, the agent of a node in a cluster

demo: $(module) $(driver) $(programs) $(foreign) ## Show two nodes sharing an address, and a capture replayed
	@$(lab) demo
	@echo; echo "A capture of two nodes that once took the same port (lab replay):"
	@$(lab) replay tests-user/captures/tcp-two-nodes.pcap \
		--shared 192.0.2.10 2001:db8::10

cluster = $(module) $(driver) $(programs)

demo-cluster: $(cluster) ## Show a cluster: who dies, and what becomes of its ports (a minute)
	@tools/etcd $(lab) cluster

chaos: $(cluster) ## Let faults happen to a cluster, and judge (15 minutes; CHAOS=--help: options)
	@tools/etcd $(lab) chaos $(CHAOS)

bench-cluster: $(cluster) ## Measure a cluster: takeover, join, etcd, agent
	@tools/etcd $(lab) bench-cluster --json "$(CURDIR)/build/bench-cluster.json"

# What is for the host and what is for illumos have folders of their own, and are
# compiled beside each other.
test: $(crates) ## Run all checks and tests
	@tools/etcd true
	@$(MAKE) --no-print-directory --jobs=2 checks
	$T tools/etcd tools/linted tools/run-tests

checks: $(programs) $(module) $(driver) $(foreign) $(rust_provider) fmt headers \
	columns scripts man lint-kernel check-illumos doc check-module reproducible

bench: $(module) ## Measure the registry beside its peers (BENCH=--help: options)
	$T cargo bench --locked -p clinet-bench -- \
		--json "$(CURDIR)/build/bench.json" \
		--svg "$(CURDIR)/build/bench.svg" $(BENCH)

check-module: $(module) $(driver) $(lab) ## Check the module files against the kernel's rules
	$(lab) check $(module)
	$(lab) check $(driver)

fmt: ## Check the format of the Rust sources
	$T cargo fmt --all --check

lint: lint-kernel ## Lint for the host and for the kernel target
	$T cargo clippy --locked --workspace --all-targets -- -D warnings

lint-kernel: $(crates)
	$T tools/kernel-cargo clippy --package clinet --package clinetctl --lib \
		-- -D warnings

# In the module's profile, whose build scripts are compiled for RUSTC_BOOTSTRAP, too:
# in another one they would be compiled again and again. std, which is compiled and
# not only checked, is not optimised.
illumos = --locked --profile module --config profile.module.opt-level=0 \
	-Z build-std=std,panic_abort \
	--target x86_64-unknown-illumos --no-default-features \
	-p clinet-control -p clinet-slices -p clinetadm -p clinetd
check-illumos: $(crates) ## Check that the programs for nodes compile for illumos
	$T env RUSTC_BOOTSTRAP=1 cargo check $(illumos)

doc: $(crates) ## Build the documentation of modules and programs in target/x86_64-unknown-illumos/doc
	$T env RUSTDOCFLAGS="-D warnings" RUSTC_BOOTSTRAP=1 cargo doc $(illumos) --no-deps
	$T env RUSTDOCFLAGS="-D warnings" \
		tools/kernel-cargo doc --package clinet --package clinetctl \
		--lib --no-deps --document-private-items

doc-lab: $(crates) ## Build that of the lab and the tests in target/doc
	$T env RUSTDOCFLAGS="-D warnings" \
		cargo doc --locked --workspace --exclude clinet \
		--exclude clinetctl --no-deps

# What users of the headers have: two compilers and languages, with and without
# the kernel's part, and ip's variables of the same names beside clinet.h.
warnings = -pedantic -Wall -Wextra -Werror -fsyntax-only -ffreestanding \
	-Iinclude -Iinclude/kern
headers: ## Compile the public headers as C99 and C++, for kernel and user
	@for file in headers beside_ip; do for mode in -D_KERNEL -U_KERNEL; do \
		for how in "cc -x c -std=c99" "\$$CLINET_CC -x c -std=c99" \
		    "\$$CLINET_CC -x c++ -std=c++11"; do \
			$T sh -c "$$how $$mode $(warnings) \
			    tests-user/foreign/$$file.c" || exit 1; \
		done; \
	done; done

columns: ## Refuse lines of C with more than 80 columns
	@for file in include/*.h include/kern/*/*.h kmod/glue/*.[ch] \
	    kmod/drv/glue/*.[ch] tests-user/foreign/*.[ch] examples/*.c user/control/*.h; do \
		expand "$$file" | awk -v file="$$file" 'length > 80 { \
			print file ":" NR ": more than 80 columns"; bad = 1 \
		} END { exit bad }' || bad=1; \
	done; exit $${bad:-0}

scripts: ## Lint the shell scripts, and compile those in Perl
	$T shellcheck -xa tools/* kmod/link .ci/run tests-user/captures/*-capture* \
		tests-user/pkg/tests/fake-vm tests-user/pkg/tests/fake-apt
	$T perl -c pkg/vm/sockets.pl
	$T perl -c pkg/vm/device.pl

# Only illumos' own mandoc knows its section of devices.
man: ## Lint the manual pages
	@$T sh -c 'mandoc -T lint -W warning pkg/man/* || [ $$? -lt 6 ] || echo no mandoc' | \
		{ ! grep -v "unknown manual section: Dt ... 4D$$"; }

# The kernel looks for modules in few places, so there is no prefix, only
# DESTDIR; pkg/clinet.p5m is the list.
# Programs are for the system that compiles them: on illumos they are installed, too.
node = $(if $(filter SunOS,$(shell uname -s)),$(clinetadm) $(clinetd) completions)
install: $(module) $(driver) $(node) ## Install below DESTDIR, or on illumos into the system
	@tools/install-files pkg/clinet.p5m "$(DESTDIR)"
	@test -z "$(node)" || tools/install-files pkg/clinet-node.p5m "$(DESTDIR)"

completions: $(clinetadm) ## Write the completions of clinetadm for bash and zsh to build/completions
	@mkdir -p build/completions
	$(clinetadm) completions bash >build/completions/clinetadm.bash
	$(clinetadm) completions zsh >build/completions/_clinetadm

# The tools are looked for before anything is built.
package: ## Publish the IPS package to REPO (on OmniOS)
	@for tool in pkgmogrify pkglint pkgsend; do \
		command -v $$tool >/dev/null || { \
			echo "make package: no $$tool here; OmniOS has it" >&2; \
			exit 2; \
		}; \
	done
	@test -n "$(REPO)" || { \
		echo "make package: where to? REPO=FOLDER or REPO=URL" >&2; \
		exit 2; \
	}
	@$(MAKE) module tool agent completions
	pkgmogrify -D VERSION=$(version) pkg/clinet.p5m >build/clinet.p5m
	pkgmogrify -D VERSION=$(version) pkg/clinet-node.p5m >build/clinet-node.p5m
	pkglint build/clinet.p5m build/clinet-node.p5m
	pkgsend -s "$(REPO)" publish -d . build/clinet.p5m
	pkgsend -s "$(REPO)" publish -d . build/clinet-node.p5m

vm-test: $(if $(VM),$(module) $(driver) build/foreign/vm_helper) ## Try both modules on an OmniOS (VM=root@HOST)
	@VM="$(VM)" tools/vm-test $(module) $(driver) build/foreign/vm_helper

reproducible: build/again/clinet ## Compare the modules with those built elsewhere

# From sources in another folder. Of the first build it has what the build script
# is made of, and nothing of what the module is.
build/again/clinet: $(module) $(driver)
	rm -rf build/again
	mkdir -p build/again/src
	cp -R Cargo.toml Cargo.lock build.rs examples facts include kmod mapfiles \
		tests-user tools user build/again/src
	cd build/again/src && export CLINET_TARGET=../../../target && \
		tools/toolchain tools/build-module clinetctl mapfiles/clinetctl.map ../clinetctl && \
		tools/toolchain tools/build-module clinet mapfiles/clinet.map ../clinet
	rm -rf build/again/src
	cmp $(module) $@ && cmp $(driver) build/again/clinetctl || { rm -f $@; exit 1; }

fuzz: $(module) $(driver) ## Fuzz loader and control device, a minute each (needs cargo-fuzz and a nightly Rust)
	cd tests-user/fuzz && mkdir -p corpus/load corpus/device && \
		cargo +nightly fuzz run --fuzz-dir . load corpus/load \
			../krtld/tests/corpus -- -max_len=8192 -timeout=10 \
			-max_total_time=60 && \
		cargo +nightly fuzz run --fuzz-dir . device corpus/device \
			../driver/tests/corpus -- -max_len=8192 -timeout=60 \
			-max_total_time=60

model: ## Check the protocol of larger clusters, state by state (minutes)
	$T cargo test --locked --release -p clinet-slices --test cluster -- --ignored

mutants: $(foreign) $(rust_provider) ## Change the module place by place: what do no tests notice? (MUTANTS='-f FILE')
	$T tools/mutants $(MUTANTS)

captures: $(lab) $(module) ## Make the captures of tests-user/captures again (root)
	tests-user/captures/make-captures

clean: ## Remove everything that was built
	rm -rf build target

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]*:.*## / { printf "  %-13s %s\n", $$1, $$2 }' \
		Makefile

# What is to be downloaded is said before, once for each Cargo.lock.
$(crates): Cargo.lock
	@$T tools/fetch-crates
	@mkdir -p build
	@touch $@

# Cargo knows best whether there is something to do.
$(module): FORCE $(crates)
	@$Q build/module.log "Compiling the module" \
		tools/build-module clinet mapfiles/clinet.map $@

$(driver): FORCE $(crates)
	@$Q build/driver.log "Compiling the driver" \
		tools/build-module clinetctl mapfiles/clinetctl.map $@

$(rust_provider): FORCE $(crates)
	@$Q build/provider.log "Compiling the Rust example" \
		tools/build-module provider-rust examples/provider-rust/provider.map $@

$(programs) &: FORCE $(crates)
	@$Q build/programs.log "Compiling $(what)" \
		$(linted) cargo build --locked $(packages)
	@for program in $(programs); do \
		built="target/$(folder)/$${program##*/}"; \
		cmp -s "$$built" "$$program" || cp "$$built" "$$program"; \
	done

build/foreign/%: tests-user/foreign/%.c tests-user/foreign/recorder.h \
		include/*.h include/kern/*/*.h kmod/cflags
	@mkdir -p build/foreign
	@$T sh -c '$$CLINET_CC $(cflags) -Itests-user/foreign -c -o $@ $<'

build/foreign/example: examples/provider.c include/*.h include/kern/*/*.h kmod/cflags
	@mkdir -p build/foreign
	@$T sh -c '$$CLINET_CC $(cflags) -c -o $@ $<'

FORCE:
