/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * Another node of the cluster, for tests on a machine that has none: loaded,
 * it owns one 5-tuple; unloaded, it does not any more.  If the 5-tuple cannot
 * be installed, the module is not loaded, and says why.
 */

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/cmn_err.h>
#include <sys/modctl.h>
#include <clinet.h>

/*
 * Tunables.  Addresses are in IPv6 form, IPv4 as ::ffff:a.b.c.d, as two
 * numbers whose highest byte is the first one; ports are as people write them.
 * None is zero, so that all have bytes in the file, where tools/patch-tunable
 * can change them: /etc/system is only read at boot.
 */
uint32_t vm_helper_owner = 2;
uint32_t vm_helper_protocol = IPPROTO_TCP;
uint64_t vm_helper_laddr_high = 0x20010db800000000ULL;
uint64_t vm_helper_laddr_low = 0x10;
uint32_t vm_helper_lport = 40000;
uint64_t vm_helper_faddr_high = 0x20010db800000000ULL;
uint64_t vm_helper_faddr_low = 0x7;
uint32_t vm_helper_fport = 80;

#define	MAPPED	0xffffULL	/* ::ffff:a.b.c.d, but for a.b.c.d */

typedef struct tuple {
	sa_family_t	t_family;
	const uint8_t	*t_laddrp;
	const uint8_t	*t_faddrp;
	uint8_t		t_laddr[16];
	uint8_t		t_faddr[16];
} tuple_t;

const char _depends_on[] = "misc/clinet";

static struct modlmisc modlmisc = {
	&mod_miscops,
	"another node, for clinet tests"
};

static struct modlinkage modlinkage = {
	MODREV_1,
	{ &modlmisc, NULL }
};

static boolean_t
is_mapped(uint64_t high, uint64_t low)
{
	return (high == 0 && low >> 32 == MAPPED ? B_TRUE : B_FALSE);
}

static void
bytes_of(uint64_t high, uint64_t low, uint8_t *bytes)
{
	int i;

	for (i = 0; i < 8; i++) {
		bytes[i] = (uint8_t)(high >> (56 - 8 * i));
		bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
	}
}

static in_port_t
net_port(uint32_t port)
{
	return ((in_port_t)((port & 0xff) << 8 | (port >> 8 & 0xff)));
}

static void
read_tunables(tuple_t *t)
{
	boolean_t mapped = is_mapped(vm_helper_laddr_high,
	    vm_helper_laddr_low);

	bytes_of(vm_helper_laddr_high, vm_helper_laddr_low, t->t_laddr);
	bytes_of(vm_helper_faddr_high, vm_helper_faddr_low, t->t_faddr);
	t->t_family = (mapped ? AF_INET : AF_INET6);
	t->t_laddrp = t->t_laddr + (mapped ? 12 : 0);
	t->t_faddrp = t->t_faddr + (mapped ? 12 : 0);
}

static int
install(void)
{
	tuple_t t;

	if (is_mapped(vm_helper_laddr_high, vm_helper_laddr_low) !=
	    is_mapped(vm_helper_faddr_high, vm_helper_faddr_low)) {
		cmn_err(CE_WARN, "vm_helper: one address is of IPv4 and one "
		    "of IPv6");
		return (EINVAL);
	}
	read_tunables(&t);
	return (clinet_install(vm_helper_owner, (uint8_t)vm_helper_protocol,
	    t.t_family, t.t_laddrp, net_port(vm_helper_lport),
	    t.t_faddrp, net_port(vm_helper_fport)));
}

static int
withdraw(void)
{
	tuple_t t;

	read_tunables(&t);
	return (clinet_withdraw(vm_helper_owner, (uint8_t)vm_helper_protocol,
	    t.t_family, t.t_laddrp, net_port(vm_helper_lport),
	    t.t_faddrp, net_port(vm_helper_fport)));
}

/* To the log only: what happens is seen by whoever loads the module. */
static void
report(const char *what, int error)
{
	cmn_err(CE_NOTE, "!vm_helper: node %u %s protocol %u, port %u to "
	    "port %u: errno %d", vm_helper_owner, what, vm_helper_protocol,
	    vm_helper_lport, vm_helper_fport, error);
}

int
_init(void)
{
	int error;

	if ((error = mod_install(&modlinkage)) != 0)
		return (error);
	error = install();
	report("installs", error);
	if (error != 0)
		(void) mod_remove(&modlinkage);
	return (error);
}

int
_fini(void)
{
	int error;

	if ((error = mod_remove(&modlinkage)) != 0)
		return (error);
	report("withdraws", withdraw());
	return (0);
}

int
_info(struct modinfo *modinfop)
{
	return (mod_info(&modlinkage, modinfop));
}
