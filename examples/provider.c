/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * A provider in C: a kernel module that is asked before a TCP connection or a
 * UDP "connection" comes to be.  This one allows everything but connections
 * to one foreign port, and counts what it is asked.
 */

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/cmn_err.h>
#include <sys/modctl.h>
#include <sys/atomic.h>

#include <cl_inet.h>

#define	WANTED_VERSION	"1.1"

/* A tunable: the foreign port to refuse, network byte order; 0 is none. */
uint32_t provider_refused_port = 0;

/* Counters, to be seen with mdb. */
uint32_t provider_asked;
uint32_t provider_ended;

/*
 * May run in an interrupt thread and with locks of ip held: no sleeping, no
 * waiting for memory.  The addresses live only as long as the call.
 */
static int
provider_connect2(uint8_t protocol, boolean_t is_outgoing,
    sa_family_t addr_family, uint8_t *laddrp, in_port_t lport,
    uint8_t *faddrp, in_port_t fport)
{
	(void) protocol, (void) is_outgoing, (void) addr_family;
	(void) laddrp, (void) lport, (void) faddrp;

	atomic_inc_32(&provider_asked);
	return (fport != 0 && fport == provider_refused_port ?
	    EADDRINUSE : 0);
}

static void
provider_disconnect(uint8_t protocol, sa_family_t addr_family,
    uint8_t *laddrp, in_port_t lport, uint8_t *faddrp, in_port_t fport)
{
	(void) protocol, (void) addr_family;
	(void) laddrp, (void) lport, (void) faddrp, (void) fport;

	atomic_inc_32(&provider_ended);
}

static const cl_inet_provider_t provider = {
	.cp_connect2 = provider_connect2,
	.cp_disconnect = provider_disconnect
};

/*
 * GNU ld writes no DT_NEEDED into a module: this is what krtld looks for then.
 * A DEBUG kernel says that it is deprecated and takes it all the same.  With
 * illumos's ld leave it out, and link with -ztype=kmod -Nmisc/clinet.
 */
const char _depends_on[] = "misc/clinet";

static struct modlmisc modlmisc = {
	&mod_miscops,
	"example cluster provider 1.0"
};

static struct modlinkage modlinkage = {
	MODREV_1,
	{ &modlmisc, NULL }
};

int
_init(void)
{
	int error;

	if ((error = mod_install(&modlinkage)) != 0)
		return (error);

	switch (cl_inet_associate(&provider, WANTED_VERSION)) {
	case CL_INET_ASSOCIATED:
		return (0);
	case CL_INET_OTHER_VERSION:
		cmn_err(CE_WARN, "provider: wanted version %s of the cluster "
		    "contract, found %s", WANTED_VERSION,
		    cluster_version_supported);
		error = ENOTSUP;
		break;
	case CL_INET_NOT_CLINET:
		cmn_err(CE_WARN, "provider: these hooks are not clinet's; "
		    "name misc/clinet, not drv/ip, as a dependency");
		error = ENXIO;
		break;
	case CL_INET_TAKEN:
		cmn_err(CE_WARN, "provider: another provider is associated; "
		    "is clinet:clinet_provider 0?");
		error = EBUSY;
		break;
	case CL_INET_NO_QUESTION:
		error = EINVAL;
		break;
	case CL_INET_LOST:
		/* Companions of ours may be in place: stay loaded. */
		cmn_err(CE_WARN, "provider: another provider was faster");
		return (0);
	}
	(void) mod_remove(&modlinkage);
	return (error);
}

/* Associated once, associated for ever: a thread may be in our functions. */
int
_fini(void)
{
	return (EBUSY);
}

int
_info(struct modinfo *modinfop)
{
	return (mod_info(&modlinkage, modinfop));
}
