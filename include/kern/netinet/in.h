/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Internet addresses, ports and protocol numbers of illumos. */

#ifndef	_NETINET_IN_H
#define	_NETINET_IN_H

#include <sys/types.h>
#include <sys/socket.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef uint16_t	in_port_t;

typedef struct in6_addr {
	union {
		uint8_t		_S6_u8[16];
		uint32_t	_S6_u32[4];
	} _S6_un;
} in6_addr_t;

struct in_addr {
	uint32_t	s_addr;
};

struct sockaddr_in {
	sa_family_t	sin_family;
	in_port_t	sin_port;
	struct in_addr	sin_addr;
	char		sin_zero[8];
};

struct sockaddr_in6 {
	sa_family_t	sin6_family;
	in_port_t	sin6_port;
	uint32_t	sin6_flowinfo;
	in6_addr_t	sin6_addr;
	uint32_t	sin6_scope_id;
	uint32_t	__sin6_src_id;
};

#define	IPPROTO_TCP	6
#define	IPPROTO_UDP	17
#define	IPPROTO_SCTP	132

#ifdef	__cplusplus
}
#endif

#endif	/* _NETINET_IN_H */
