/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * The hook variables of a stock ip, as clinet stores into them.  A header of
 * its own because ip's variables and the slots of the contract have the same
 * names and other types; ip_hooks.c holds this against ip's declarations.
 */

#ifndef	_CLINET_IP_HOOKS_H
#define	_CLINET_IP_HOOKS_H

#include <sys/types.h>
#include <sys/netstack.h>
#include <sys/socket.h>
#include <netinet/in.h>

#ifdef	__cplusplus
extern "C" {
#endif

/* One member for each variable, of its name and type. */
typedef struct clinet_ip_hooks {
	int	(*cl_inet_connect2)(netstackid_t stack, uint8_t protocol,
	    boolean_t is_outgoing, sa_family_t family,
	    uint8_t *laddr, in_port_t lport, uint8_t *faddr, in_port_t fport,
	    void *args);
	void	(*cl_inet_disconnect)(netstackid_t stack, uint8_t protocol,
	    sa_family_t family, uint8_t *laddr, in_port_t lport,
	    uint8_t *faddr, in_port_t fport, void *args);
	void	(*cl_inet_listen)(netstackid_t stack, uint8_t protocol,
	    sa_family_t family, uint8_t *laddr, in_port_t lport, void *args);
	void	(*cl_inet_unlisten)(netstackid_t stack, uint8_t protocol,
	    sa_family_t family, uint8_t *laddr, in_port_t lport, void *args);
	void	(*cl_inet_bind)(netstackid_t stack, uint8_t protocol,
	    sa_family_t family, uint8_t *laddr, in_port_t lport, void *args);
	void	(*cl_inet_unbind)(netstackid_t stack, uint8_t protocol,
	    sa_family_t family, uint8_t *laddr, in_port_t lport, void *args);
} clinet_ip_hooks_t;

/* What cl_tcp_walk_list() tells of each connection. */
typedef struct clinet_tcp_info {
	uint16_t	cti_version;
	uint16_t	cti_ipversion;	/* 4 or 6 */
	int32_t		cti_state;	/* TCPS_* */
	in_port_t	cti_lport;
	in_port_t	cti_fport;
	uint8_t		cti_laddr[16];	/* IPv4 as ::ffff:a.b.c.d */
	uint8_t		cti_faddr[16];
} clinet_tcp_info_t;

#define	CLINET_TCPI_VERSION	1
#define	CLINET_TCPS_SYN_RCVD	(-1)
#define	CLINET_TCPS_TIME_WAIT	6

typedef int clinet_walk_callback_t(clinet_tcp_info_t *, void *);
typedef int (*clinet_walk_fn)(netstackid_t, clinet_walk_callback_t *, void *);

#ifdef	__cplusplus
}
#endif

#endif	/* _CLINET_IP_HOOKS_H */
