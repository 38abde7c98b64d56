/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Address families of illumos. */

#ifndef	_SYS_SOCKET_H
#define	_SYS_SOCKET_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef uint16_t	sa_family_t;

#define	AF_INET		2
#define	AF_INET6	26

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_SOCKET_H */
