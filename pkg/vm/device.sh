# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
# shellcheck shell=sh
#
# For tools/vm-test: the control device, by a program in Perl, and by clinetadm
# where the machine has it.

# Where a driver has to be, and its node without a line in devlink.tab.
drivers=/kernel/drv
node=/devices/pseudo/clinetctl@0:clinet

# ---- the driver ---------------------------------------------------------

install_driver() {
	driver_installed=yes
	copy_to "$driver" "$drivers/amd64/clinetctl" &&
		copy_to "$here/../kmod/drv/clinetctl.conf" \
		    "$drivers/clinetctl.conf" &&
		vm "add_drv -m '* 0666 root sys' clinetctl"
}

remove_driver() {
	! is_loaded clinetctl || unload clinetctl
	vm "rem_drv clinetctl"
	vm "rm -f $drivers/amd64/clinetctl $drivers/clinetctl.conf" &&
		driver_installed=
}

# What the program in Perl says of the device.
device_says() {
	vm "perl $dir/device.pl $node $1" && [ "$(said)" = "$2" ]
}

is_busy_while_open() {
	id=$(module_id clinetctl) || return 1
	! vm "perl $dir/device.pl $node hold modunload -i $id" &&
		grep -i busy "$work/said" >"$work/line"
}

is_removed() {
	remove_driver && ! is_loaded clinetctl && is_loaded clinet
}

try_device() {
	must_copy "$here/../pkg/vm/device.pl" device.pl
	must_copy "$here/../include/clinetctl.h" clinetctl.h
	check "the driver is installed" install_driver
	check "its node is there" vm "ls $node"
	check "a program reads the versions" \
	    device_says version "interface 1, contract 1.1"
	check "an unknown ioctl fails: ENOTTY" device_says unknown "errno 25"
	check "a caller of another version fails: ENOTSUP" \
	    device_says stranger "errno 48"
	check "the driver cannot be unloaded while it is open: EBUSY" \
	    is_busy_while_open
	check "it can be unloaded when it is closed" unload clinetctl
	check "and is loaded again by who opens it" \
	    device_says version "interface 1, contract 1.1"
	try_tool
	check "the driver is removed, and clinet stays" is_removed
}

# ---- the tool -----------------------------------------------------------

adm() {
	vm "${VM_CLINETADM-clinetadm} --device $node $*"
}

# What it says with those words is $1.
adm_says() {
	expected=$1
	shift
	adm "$@" && [ "$(said)" = "$expected" ]
}

# It exits with 1 and says why.
adm_refuses() {
	why=$1
	shift
	adm "$@"
	[ "$?" -eq 1 ] && grep "^refused ($why)" "$work/said" >"$work/line"
}

# Grants what the lines say, in place of what was granted before.
grant() {
	ports_divided=yes
	printf '%s\n' "$@" >"$work/grants"
	copy "$work/grants" grants && adm "grants set $dir/grants"
}

granted='grant 50000-50499'
space='space 50000-50999'

# Only the addresses of this test are shared, before any is taken away.
share_only_ours() {
	adm "set addresses=$v4,$v6" && adm_says "$v4,$v6" show -p -o value addresses
}

# A refusal while somebody waits for it.
is_told() {
	vm "${VM_CLINETADM-clinetadm} --device $node events -t refused -n 1" \
	    "--seconds 20 -p -o reason & sleep $pause;" \
	    "perl $dir/sockets.pl tcp $v4 $lport $fport >/dev/null; wait"
	[ "$(said)" = owned ]
}

# TCP from a port of the port space is $2 for its program.
port_is() {
	lport=$1
	fport=$((port + 1))
	port=$((port + 2))
	vm "perl $dir/sockets.pl tcp $v4 $lport $fport" && [ "$(said)" = "$2" ]
}

address_is() {
	vm "ipadm show-addr -p -o state $link/clinet4" && [ "$(said)" = "$1" ]
}

# At its deadline of some seconds the node loses its addresses.
is_fenced() {
	grant "$space" "$granted" 'deadline 3' || return 1
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		if adm_says fenced show -p -o value fence-state; then
			address_is down
			return
		fi
		sleep 1
	done
	return 1
}

is_unfenced() {
	grant "$space" "$granted" && adm "unfence --records-kept" &&
		address_is ok
}

# Takes the port space back: while ports are granted, nothing detaches.
divide_nothing() {
	grant '' && ports_divided=
}

every_port_is_accepted() {
	divide_nothing && port_is 50500 accepted
}

# Without it there are as many tests.
skip_tool() {
	for claim in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		skip "clinetadm, $claim of 15" "$1"
	done
}

try_tool() {
	if ! vm "command -v ${VM_CLINETADM-clinetadm}"; then
		skip_tool "no clinetadm there: VM_CLINETADM=PATH names it"
		return
	fi
	new_ports
	tuple="tcp $v4:$lport $v4:$fport"
	check "clinetadm shows that it is attached" \
	    adm_says attached show -p -o value attach
	check "it shares the addresses of this test only" share_only_ours
	share_only_ours || bail 1 "all addresses of $VM would be taken away"
	check "it installs a 5-tuple of another node" adm "install 2 $tuple"
	check "it lists it" adm_says "$tuple" list -p -o tuple owner=2
	check "it says that the 5-tuple is owned" adm_refuses owned "check $tuple"
	check "and so it is: the program sees errno 125" \
	    sees tcp "$v4" tcp_out_owned "errno 125"
	check "a refusal is an event" is_told
	check "it withdraws the 5-tuple" adm "withdraw 2 $tuple"
	check "and says that it is free" adm "check $tuple"
	check "it grants ports" grant "$space" "$granted"
	check "a granted port is accepted" port_is 50000 accepted
	check "another port of the space is refused" port_is 50500 "errno 125"
	check "at the deadline the addresses are taken away" is_fenced
	check "they come back with new grants" is_unfenced
	check "without a port space every port is accepted" \
	    every_port_is_accepted
}
