/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * The C half of the module: what the kernel calls by name, what /etc/system
 * sets, and what Rust cannot call because it is variadic.  No decisions.
 */

#include "bindings.h"
#include "abi_check.h"

#ifndef	CLINET_VERSION
#error "CLINET_VERSION comes from Cargo.toml through build.rs"
#endif

/*
 * Tunables: `set clinet:NAME = VALUE' in /etc/system, read when the module is
 * loaded.  A value that is out of range is replaced and a warning says so.
 * Those that are volatile are read again every second and may be changed on a
 * running system, as in: echo 'clinet_mode/W 1' | mdb -kw
 * What is out of range there is put back.
 */

/* 1: the built-in provider associates itself.  0: leave that to another. */
uint32_t clinet_provider = 1;

/* 1: set ip's hooks when the module is loaded.  0: wait to be told. */
uint32_t clinet_attach = 1;

/*
 * 1: ip tells the end of each TCP connection.  0: its cl_inet_disconnect stays
 * NULL, which keeps ip's fast way to reclaim connections in TIME_WAIT; then
 * only audits remove what has ended, the second one after its end.
 */
uint32_t clinet_hook_disconnect = 1;

/*
 * 0: off, ip's hooks return at once, ends are not heard, nothing is registered;
 * what follows a 0 clears this node's entries and has audits make them anew.
 * 1: decide and count, refuse nothing.  2: refuse.
 */
volatile uint32_t clinet_mode = 2;

/*
 * 1: detach from ip: its hooks accept everything.  0 again: attach.  The hooks
 * do not become NULL again, so ip's slow way out of TIME_WAIT stays.
 */
volatile uint32_t clinet_detach = 0;

/* Anything but 0: compare with ip's connections now; becomes 0 again. */
volatile uint32_t clinet_audit_now = 0;

/*
 * Seconds between two audits, 1 to 86400.  0: only when asked for, after an
 * attach, after mode 0, and for ends that are in doubt.
 */
uint32_t clinet_audit_period = 300;

/* This node's number in the cluster, from 1. */
uint32_t clinet_node_id = 1;

/* The shared addresses, such as "192.0.2.10,2001:db8::10"; at most 256. */
char *clinet_addrs = NULL;

/*
 * 0: the addresses of clinet_addrs are shared or, if it names none, all local
 * ones but loopback.  1: all but loopback, whatever clinet_addrs says.
 */
uint32_t clinet_scope = 0;

/*
 * How many 5-tuples the built-in provider holds at most, 64 to 16777216.
 * Memory follows what it does hold: 46 bytes for each of ten million, more for
 * each of fewer.
 */
uint32_t clinet_max_tuples = 1048576;

/*
 * How much of that UDP may have, in hundredths, 1 to 100.  A program that sends
 * to ever new destinations uses up no more; TCP and other nodes have the rest.
 */
uint32_t clinet_udp_share = 25;

/* 1: all memory for 5-tuples at load.  0: as it is needed. */
uint32_t clinet_prealloc = 0;

/* When it is full: 0 admits unregistered (and counts), 1 refuses. */
uint32_t clinet_full_refuse = 0;

/*
 * UDP entries that were not asked about for so many seconds are dropped: 60 to
 * 604800.  0: never.
 */
uint32_t clinet_udp_age = 7200;

/*
 * The ports that the nodes of the pool divide among themselves, such as
 * "32768-65535" or "tcp=32768-65535,udp=40000-49999".  NULL: none.  With it,
 * a local port of a shared address has to be granted to this node.
 */
char *clinet_port_space = NULL;

/*
 * Ports that this node has without an agent and for ever, in the space or
 * reserved outside it, such as "tcp=32768-34815,tcp=443".  NULL: none.
 */
char *clinet_grants = NULL;

/*
 * Incoming TCP to a port outside the space that is not reserved: 0 trusts the
 * network that chose this node, 1 refuses.
 */
uint32_t clinet_incoming = 0;

/* Outgoing TCP, and UDP, from such a port: 0 refuses, 1 admits. */
uint32_t clinet_explicit = 0;

/* A shared address in another stack than the global one: 0 refuses, 1 admits */
uint32_t clinet_other_stack = 0;

/*
 * At the deadline of the grants: 0 takes the shared addresses away, 1 panics,
 * 2 does nothing but refuse.
 */
uint32_t clinet_fence = 0;

/* Seconds that this may take, 1 to 60. */
uint32_t clinet_fence_seconds = 5;

/* For the control device, see clinet_control.h. */
const uint32_t clinet_control_version = CLINET_CONTROL_VERSION;
const char clinet_version[] = CLINET_VERSION;

#define	CLINET_LINKINFO	"cluster client 5-tuples " CLINET_VERSION

_Static_assert(sizeof (CLINET_LINKINFO) <= MODMAXLINKINFOLEN,
    "modinfo shows 31 characters");

static struct modlmisc modlmisc = {
	&mod_miscops,
	CLINET_LINKINFO
};

static struct modlinkage modlinkage = {
	MODREV_1,
	{ &modlmisc, NULL }
};

int
_init(void)
{
	clinet_tunables_t tunables = {
		.ct_provider = clinet_provider,
		.ct_attach = clinet_attach,
		.ct_hook_disconnect = clinet_hook_disconnect,
		.ct_mode = clinet_mode,
		.ct_detach = clinet_detach,
		.ct_node_id = clinet_node_id,
		.ct_scope = clinet_scope,
		.ct_max_tuples = clinet_max_tuples,
		.ct_udp_share = clinet_udp_share,
		.ct_prealloc = clinet_prealloc,
		.ct_full_refuse = clinet_full_refuse,
		.ct_udp_age = clinet_udp_age,
		.ct_audit_period = clinet_audit_period,
		.ct_incoming = clinet_incoming,
		.ct_explicit = clinet_explicit,
		.ct_other_stack = clinet_other_stack,
		.ct_fence = clinet_fence,
		.ct_fence_seconds = clinet_fence_seconds,
		.ct_addrs = clinet_addrs,
		.ct_port_space = clinet_port_space,
		.ct_grants = clinet_grants
	};
	int error;

	if ((error = clinet_module_init(&tunables)) != 0)
		return (error);
	if ((error = mod_install(&modlinkage)) != 0) {
		clinet_module_fini();
		clinet_log(CE_WARN, "clinet: not loaded: mod_install() failed");
		return (error);
	}
	clinet_module_start();
	return (0);
}

int
_fini(void)
{
	int error;

	/* mod_remove() of a misc module always agrees: decide here. */
	if ((error = clinet_module_busy()) != 0)
		return (error);
	if ((error = mod_remove(&modlinkage)) != 0)
		return (error);
	clinet_module_fini();
	return (0);
}

int
_info(struct modinfo *modinfop)
{
	return (mod_info(&modlinkage, modinfop));
}

int
clinet_ident(ldi_ident_t *ident)
{
	return (ldi_ident_from_mod(&modlinkage, ident));
}

void
clinet_log(int level, const char *message)
{
	cmn_err(level, "%s", message);
}
