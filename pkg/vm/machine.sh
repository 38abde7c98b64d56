# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
# shellcheck shell=sh
#
# For tools/vm-test: the machine by ssh, tests in TAP, and what is taken back in
# the end. Uses VM, VM_SSH, VM_SCP, pause and work.

# What there is to take back on the machine.
dir=
helper_loaded=
driver_installed=
ports_divided=
addresses=
# It answered once.
reached=

# ---- the machine --------------------------------------------------------

# Runs a command there; what it says is in $work/said.
vm() {
	# shellcheck disable=SC2086 # words are what is wanted
	$VM_SSH "$VM" "PATH=/usr/bin:/usr/sbin:/sbin; export PATH; $*" \
	    >"$work/said" 2>&1 </dev/null
	status=$?
	if [ "$status" -eq 255 ] && [ -n "$reached" ]; then
		bail 1 "no connection to $VM any more while it ran: $*" \
		    "(look at its console: it may have panicked)"
	fi
	return "$status"
}

# What the last command said, as one line.
said() {
	tr '\n' ' ' <"$work/said" | sed 's/ *$//'
}

# Copies a file to a folder there.
copy_to() {
	# shellcheck disable=SC2086 # words are what is wanted
	$VM_SCP "$1" "$VM:$2" >"$work/said" 2>&1 </dev/null
}

copy() {
	copy_to "$1" "$dir/$2"
}

# The id of a loaded module.
module_id() {
	vm modinfo || return 1
	sed -n "s/^ *\([0-9]*\) .* $1 (.*/\1/p" "$work/said" | grep .
}

is_loaded() {
	[ -n "$(module_id "$1")" ]
}

unload() {
	id=$(module_id "$1") && vm "modunload -i $id"
}

# A value of clinet's kstats.
value() {
	vm "kstat -p clinet:0:$1" && sed -n "s/^clinet:0:$1[[:space:]]//p" \
	    "$work/said"
}

# The value is what it should be.
value_is() {
	[ "$(value "$1")" = "$2" ]
}

# The value has grown since it was $2.
has_grown() {
	now=$(value "$1")
	[ "${now:-0}" -gt "${2:-0}" ]
}

# Writes a tunable of the running module, and gives it time to see that.
tune() {
	vm "echo '$1/W $2' | mdb -kw" && sleep "$pause"
}

# ---- TAP ----------------------------------------------------------------

count=0
failed=0

# A test: what is true, then the command whose status says whether it is.
check() {
	claim=$1
	shift
	count=$((count + 1))
	if "$@"; then
		echo "ok $count - $claim"
	else
		failed=$((failed + 1))
		echo "not ok $count - $claim"
		sed 's/^/# /' "$work/said"
	fi
}

# A test that cannot be done there, and why.
skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# The rest cannot be tried.
bail() {
	code=$1
	shift
	echo "Bail out! $*"
	exit "$code"
}

# shellcheck disable=SC2317,SC2329 # called when the script ends
leave_module() {
	if is_loaded clinet && ! unload clinet; then
		vm "echo 'clinet_detach/W 1' | mdb -kw" &&
			echo "# clinet stays loaded, detached, until $VM is rebooted"
	fi
}

# shellcheck disable=SC2317,SC2329 # called when the script ends
clean_up() {
	ends_with=$?
	trap - EXIT HUP INT TERM
	reached=
	if [ -n "$ports_divided" ]; then
		divide_nothing
	fi
	if [ -n "$driver_installed" ]; then
		remove_driver
	fi
	if [ -n "$helper_loaded" ]; then
		unload vm_helper
	fi
	for address in $addresses; do
		vm "ipadm delete-addr $address"
	done
	if [ -n "$dir" ]; then
		leave_module
		vm "rm -rf $dir"
	fi
	rm -rf "$work"
	exit "$ends_with"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
