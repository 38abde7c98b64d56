/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * cl_inet.h: the contract between TCP/IP and a cluster provider, version 1.1.
 *
 * Nodes of a cluster share an IP address and use it as a client address.
 * Before a TCP connection or a UDP "connection" exists, TCP/IP calls
 * cl_inet_connect2 and is told whether the 5-tuple is unique in the cluster.
 * A provider is the module behind that pointer.
 *
 * Rules that hold for every slot below:
 *
 *   - Ports are in network byte order.  Addresses point at 4 (AF_INET) or 16
 *     (AF_INET6) bytes in network byte order that live only during the call:
 *     copy them, never keep the pointer.
 *   - All values are those of illumos, on every host: AF_INET6 is 26,
 *     EADDRINUSE 125, EADDRNOTAVAIL 126.
 *   - A slot is NULL until a provider associates itself, and never becomes
 *     NULL again.  A caller loads a slot once, tests that value and calls it.
 *   - ip declares variables of these names with functions of another type:
 *     do not include <inet/ip.h> beside this header.  A stack that calls
 *     clinet includes <clinet.h> instead.
 *   - The callee must not sleep, spin or call back into TCP/IP: it may run
 *     in an interrupt thread and with locks of ip held.
 *
 * On a stock illumos ip is the caller, through clinet, and its calls do not
 * balance.  A provider has to bear that
 *
 *   - cl_inet_disconnect comes for connections that were never accepted or
 *     asked about: after every refused connect() and for every closed listener
 *     on a specific address, with the foreign end 0.0.0.0 (or ::) and port 0;
 *   - it comes twice for an incoming connection that is reset before accept():
 *     with the reset, and when it is taken from the queue, by which time
 *     another one may have been accepted with the same 5-tuple;
 *   - it does not come at all if clinet_hook_disconnect is 0;
 *   - a connected UDP socket that is closed is not told, only its unbinding is;
 *     the address may then be another one than that which was bound.
 */

#ifndef	_CL_INET_H
#define	_CL_INET_H

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/socket.h>
#include <netinet/in.h>
#ifdef	_KERNEL
#include <sys/atomic.h>
#include <sys/systm.h>
#endif

#ifdef	__cplusplus
extern "C" {
#endif

/* The version of the contract that this header describes. */
#define	CL_INET_VERSION	"1.1"

/*
 * Asks whether a 5-tuple is unique.  0: it is, and it is registered now.
 * Otherwise the connection is refused: a positive errno, never EINPROGRESS.
 * is_outgoing is B_FALSE for a SYN that arrived, B_TRUE for everything else.
 */
typedef int (*cl_inet_connect2_fn)(uint8_t protocol, boolean_t is_outgoing,
    sa_family_t addr_family, uint8_t *laddrp, in_port_t lport,
    uint8_t *faddrp, in_port_t fport);

/* A local endpoint began or ceased to listen (TCP) or to be bound (UDP). */
typedef void (*cl_inet_endpoint_fn)(uint8_t protocol, sa_family_t addr_family,
    uint8_t *laddrp, in_port_t lport);

/*
 * A 5-tuple that cl_inet_connect2 accepted is no longer in use.  On a stock ip
 * also others, see above.
 */
typedef void (*cl_inet_disconnect_fn)(uint8_t protocol,
    sa_family_t addr_family, uint8_t *laddrp, in_port_t lport,
    uint8_t *faddrp, in_port_t fport);

/*
 * The version string of the module that holds the slots.  A provider compares
 * it with the version it was written for before it stores anything.
 */
extern const char *cluster_version_supported;

/* The slots. */
extern cl_inet_connect2_fn cl_inet_connect2;
extern cl_inet_endpoint_fn cl_inet_listen;
extern cl_inet_endpoint_fn cl_inet_unlisten;
extern cl_inet_endpoint_fn cl_inet_bind;
extern cl_inet_endpoint_fn cl_inet_unbind;
extern cl_inet_disconnect_fn cl_inet_disconnect;

/*
 * What clinet says of itself.  ip has variables of the same names whose
 * functions take other arguments, and the kernel linker matches names only.
 * A provider whose slots are not the ones named here has ip's.
 */
typedef struct clinet_contract {
	size_t			cc_size;	/* sizeof this structure */
	const char		*cc_version;	/* == CL_INET_VERSION */
	cl_inet_connect2_fn	*cc_connect2;
	cl_inet_disconnect_fn	*cc_disconnect;
	cl_inet_endpoint_fn	*cc_listen;
	cl_inet_endpoint_fn	*cc_unlisten;
	cl_inet_endpoint_fn	*cc_bind;
	cl_inet_endpoint_fn	*cc_unbind;
} clinet_contract_t;

extern const clinet_contract_t clinet_contract;

/*
 * The functions of a provider.  connect2 is required; a NULL companion leaves
 * its slot alone.  Whoever wants to learn of endings sets disconnect (TCP)
 * and bind and unbind (UDP, which has no other ending).
 */
typedef struct cl_inet_provider {
	cl_inet_connect2_fn	cp_connect2;
	cl_inet_disconnect_fn	cp_disconnect;
	cl_inet_endpoint_fn	cp_listen;
	cl_inet_endpoint_fn	cp_unlisten;
	cl_inet_endpoint_fn	cp_bind;
	cl_inet_endpoint_fn	cp_unbind;
} cl_inet_provider_t;

/* What cl_inet_associate() answers. */
typedef enum cl_inet_association {
	CL_INET_ASSOCIATED = 0,	/* the provider is asked from now on */
	CL_INET_OTHER_VERSION,	/* nothing stored: the versions differ */
	CL_INET_NOT_CLINET,	/* nothing stored: the slots are ip's */
	CL_INET_TAKEN,		/* nothing stored: somebody else was first */
	CL_INET_LOST,		/* another provider won while we stored: */
				/* companions of ours may be in place, so */
				/* _init() has to succeed all the same */
	CL_INET_NO_QUESTION	/* nothing stored: there is no cp_connect2 */
} cl_inet_association_t;

#ifdef	_KERNEL

/* Do the slots that this module was linked with belong to clinet? */
static inline boolean_t
cl_inet_is_clinet(void)
{
	return (clinet_contract.cc_size >= sizeof (clinet_contract_t) &&
	    clinet_contract.cc_connect2 == &cl_inet_connect2 &&
	    clinet_contract.cc_disconnect == &cl_inet_disconnect &&
	    clinet_contract.cc_listen == &cl_inet_listen &&
	    clinet_contract.cc_unlisten == &cl_inet_unlisten &&
	    clinet_contract.cc_bind == &cl_inet_bind &&
	    clinet_contract.cc_unbind == &cl_inet_unbind ?
	    B_TRUE : B_FALSE);
}

/* Stores func in an empty slot; true as well if there is nothing to store. */
static inline boolean_t
cl_inet_store(void *slot, void *func)
{
	return (func == NULL || atomic_cas_ptr(slot, NULL, func) == NULL ?
	    B_TRUE : B_FALSE);
}

#define	CL_INET_STORE(slot, func)	\
	cl_inet_store((void *)&(slot), (void *)(uintptr_t)(func))

static inline boolean_t
cl_inet_slots_free(const cl_inet_provider_t *p)
{
	return (cl_inet_connect2 == NULL &&
	    (p->cp_disconnect == NULL || cl_inet_disconnect == NULL) &&
	    (p->cp_listen == NULL || cl_inet_listen == NULL) &&
	    (p->cp_unlisten == NULL || cl_inet_unlisten == NULL) &&
	    (p->cp_bind == NULL || cl_inet_bind == NULL) &&
	    (p->cp_unbind == NULL || cl_inet_unbind == NULL) ?
	    B_TRUE : B_FALSE);
}

/*
 * Associates a provider, written for `version', with clinet.  To be called in
 * _init(), after mod_install() and as the last thing that can fail.  Does not
 * sleep and takes no lock.
 *
 * After CL_INET_ASSOCIATED and CL_INET_LOST functions of the provider may be
 * called at any time until the machine is halted: _init() has to return 0 and
 * _fini() EBUSY from then on.  After every other answer nothing was stored:
 * undo what was done and return an errno.  A provider that knows several
 * versions calls this with each, best first.
 */
static inline cl_inet_association_t
cl_inet_associate(const cl_inet_provider_t *p, const char *version)
{
	if (p->cp_connect2 == NULL)
		return (CL_INET_NO_QUESTION);
	if (!cl_inet_is_clinet())
		return (CL_INET_NOT_CLINET);
	if (strcmp(cluster_version_supported, version) != 0)
		return (CL_INET_OTHER_VERSION);
	if (!cl_inet_slots_free(p))
		return (CL_INET_TAKEN);
	/*
	 * The removals come before the registration, so that none can be
	 * missed; connect2 is last and decides.
	 */
	if (!CL_INET_STORE(cl_inet_disconnect, p->cp_disconnect) ||
	    !CL_INET_STORE(cl_inet_unlisten, p->cp_unlisten) ||
	    !CL_INET_STORE(cl_inet_listen, p->cp_listen) ||
	    !CL_INET_STORE(cl_inet_unbind, p->cp_unbind) ||
	    !CL_INET_STORE(cl_inet_bind, p->cp_bind) ||
	    !CL_INET_STORE(cl_inet_connect2, p->cp_connect2))
		return (CL_INET_LOST);
	return (CL_INET_ASSOCIATED);
}

#endif	/* _KERNEL */

#ifdef	__cplusplus
}
#endif

#endif	/* _CL_INET_H */
