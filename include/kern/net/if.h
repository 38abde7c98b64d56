/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Logical interfaces of illumos. */

#ifndef	_NET_IF_H
#define	_NET_IF_H

#include <sys/types.h>
#include <sys/socket.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	LIFNAMSIZ	32

#define	IFF_UP		0x0000000001
#define	IFF_NOLOCAL	0x0000020000

#define	LIFC_NOXMIT	0x01
#define	LIFC_TEMPORARY	0x04
#define	LIFC_ALLZONES	0x08
#define	LIFC_UNDER_IPMP	0x10

/* The union has more members in illumos; this one fixes its size. */
struct lifreq {
	char	lifr_name[LIFNAMSIZ];
	union {
		int	lifru_addrlen;
	} lifr_lifru1;
	uint_t	lifr_type;
	union {
		struct sockaddr_storage lifru_addr;
		uint64_t lifru_flags;
		uint64_t lifru_size[42];
	} lifr_lifru;
};

struct lifnum {
	sa_family_t lifn_family;
	int	lifn_flags;
	int	lifn_count;
};

struct lifconf {
	sa_family_t lifc_family;
	int	lifc_flags;
	int	lifc_len;
	union {
		char	*lifcu_buf;
		struct lifreq *lifcu_req;
	} lifc_lifcu;
};

#ifdef	__cplusplus
}
#endif

#endif	/* _NET_IF_H */
