/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Address families and socket addresses of illumos. */

#ifndef	_SYS_SOCKET_H
#define	_SYS_SOCKET_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef uint16_t	sa_family_t;

#define	AF_UNSPEC	0
#define	AF_INET		2
#define	AF_INET6	26

/* In the kernel. */
#define	SOCK_DGRAM	1

struct sockaddr_storage {
	sa_family_t	ss_family;
	char		_ss_pad1[6];
	double		_ss_align;
	char		_ss_pad2[240];
};

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_SOCKET_H */
