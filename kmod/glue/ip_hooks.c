/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * Holds ip_hooks.h against ip's own declarations.  No code: with the headers
 * of an illumos whose hooks are other ones the module does not compile.
 */

#include <sys/types.h>
#include <stddef.h>
#include <inet/tcp_cluster.h>

#include "ip_hooks.h"

/* UDP's two are declared in no header of ip. */
extern void (*cl_inet_bind)(netstackid_t, uchar_t, sa_family_t, uint8_t *,
    in_port_t, void *);
extern void (*cl_inet_unbind)(netstackid_t, uint8_t, sa_family_t, uint8_t *,
    in_port_t, void *);

#define	SAME_TYPE(a, b)	\
	__builtin_types_compatible_p(__typeof__(a), __typeof__(b))

#define	HOOK(name)							\
	_Static_assert(sizeof (name) == 8 &&				\
	    SAME_TYPE(name, ((clinet_ip_hooks_t *)0)->name),		\
	    "ip's " #name " is of another type")

HOOK(cl_inet_connect2);
HOOK(cl_inet_disconnect);
HOOK(cl_inet_listen);
HOOK(cl_inet_unlisten);
HOOK(cl_inet_bind);
HOOK(cl_inet_unbind);

#define	MEMBER(ours, theirs)						\
	_Static_assert(offsetof(clinet_tcp_info_t, ours) ==		\
	    offsetof(cl_tcp_info_t, theirs) &&				\
	    sizeof (((clinet_tcp_info_t *)0)->ours) ==			\
	    sizeof (((cl_tcp_info_t *)0)->theirs),			\
	    "ip's " #theirs " is elsewhere")

MEMBER(cti_version, cl_tcpi_version);
MEMBER(cti_ipversion, cl_tcpi_ipversion);
MEMBER(cti_state, cl_tcpi_state);
MEMBER(cti_lport, cl_tcpi_lport);
MEMBER(cti_fport, cl_tcpi_fport);
MEMBER(cti_laddr, cl_tcpi_laddr_v6);
MEMBER(cti_faddr, cl_tcpi_faddr_v6);

_Static_assert(sizeof (clinet_tcp_info_t) == sizeof (cl_tcp_info_t) &&
    CLINET_TCPI_VERSION == CL_TCPI_V1, "another version of cl_tcp_info_t");

_Static_assert(SAME_TYPE(cl_tcp_walk_list,
    int (netstackid_t, int (*)(cl_tcp_info_t *, void *), void *)),
    "ip's cl_tcp_walk_list is of another type");
