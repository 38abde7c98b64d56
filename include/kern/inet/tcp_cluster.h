/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* The hooks of illumos' TCP. */

#ifndef	_INET_TCP_CLUSTER_H
#define	_INET_TCP_CLUSTER_H

#include <sys/types.h>
#include <sys/netstack.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <inet/tcp.h>

#ifdef	__cplusplus
extern "C" {
#endif

extern int (*cl_inet_connect2)(netstackid_t, uint8_t, boolean_t, sa_family_t,
    uint8_t *, in_port_t, uint8_t *, in_port_t, void *);
extern void (*cl_inet_disconnect)(netstackid_t, uint8_t, sa_family_t,
    uint8_t *, in_port_t, uint8_t *, in_port_t, void *);
extern void (*cl_inet_listen)(netstackid_t, uint8_t, sa_family_t, uint8_t *,
    in_port_t, void *);
extern void (*cl_inet_unlisten)(netstackid_t, uint8_t, sa_family_t, uint8_t *,
    in_port_t, void *);

extern int cl_tcp_walk_list(netstackid_t, int (*)(cl_tcp_info_t *, void *),
    void *);

#ifdef	__cplusplus
}
#endif

#endif	/* _INET_TCP_CLUSTER_H */
