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
 */

/* 1: the built-in provider associates itself.  0: leave that to another. */
uint32_t clinet_provider = 1;

/* This node's number in the cluster, from 1. */
uint32_t clinet_node_id = 1;

/*
 * How many 5-tuples the built-in provider holds at most.  Memory follows what
 * it does hold: 38 to 47 bytes each.
 */
uint32_t clinet_max_tuples = 1048576;

/* 1: takes the memory for all of them at once, when the module is loaded. */
uint32_t clinet_prealloc = 0;

/* Seconds after which a UDP 5-tuple nobody asked about is dropped.  0: never. */
uint32_t clinet_udp_age = 7200;

/* When it is full: 0 admits unregistered (and counts), 1 refuses. */
uint32_t clinet_full_refuse = 0;

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
		.ct_node_id = clinet_node_id,
		.ct_max_tuples = clinet_max_tuples,
		.ct_full_refuse = clinet_full_refuse,
		.ct_udp_age = clinet_udp_age,
		.ct_prealloc = clinet_prealloc
	};
	int error;

	if ((error = clinet_module_init(&tunables)) != 0)
		return (error);
	if ((error = mod_install(&modlinkage)) != 0) {
		clinet_module_fini();
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

void
clinet_log(int level, const char *message)
{
	cmn_err(level, "%s", message);
}
