/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* What TCP of illumos tells of a connection, and how one is aborted. */

#ifndef	_INET_TCP_H
#define	_INET_TCP_H

#include <sys/types.h>
#include <netinet/in.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	CL_TCPI_V1	1

typedef struct cl_tcp_info_s {
	ushort_t	cl_tcpi_version;
	ushort_t	cl_tcpi_ipversion;
	int32_t		cl_tcpi_state;
	in_port_t	cl_tcpi_lport;
	in_port_t	cl_tcpi_fport;
	in6_addr_t	cl_tcpi_laddr_v6;
	in6_addr_t	cl_tcpi_faddr_v6;
} cl_tcp_info_t;

#define	TCPS_SYN_SENT	-2
#define	TCPS_TIME_WAIT	6

#define	TCP_IOC_ABORT_CONN	(('T' << 8) + 91)

#pragma pack(4)
typedef struct tcp_ioc_abort_conn_s {
	struct sockaddr_storage ac_local;
	struct sockaddr_storage ac_remote;
	int32_t	ac_start;
	int32_t	ac_end;
	int32_t	ac_zoneid;
} tcp_ioc_abort_conn_t;
#pragma pack()

#ifdef	__cplusplus
}
#endif

#endif	/* _INET_TCP_H */
