/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Ioctls of sockets in illumos: those of logical interfaces. */

#ifndef	_SYS_SOCKIO_H
#define	_SYS_SOCKIO_H

#include <sys/types.h>
#include <net/if.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	CLINET_IOC(direction, number, size)				\
	((int)((direction) | (((size) & 0xff) << 16) | ('i' << 8) | (number)))

#define	SIOCLIFREMOVEIF							\
	CLINET_IOC(0x80000000U, 110, sizeof (struct lifreq))
#define	SIOCLIFADDIF							\
	CLINET_IOC(0xc0000000U, 111, sizeof (struct lifreq))
#define	SIOCSLIFFLAGS							\
	CLINET_IOC(0x80000000U, 116, sizeof (struct lifreq))
#define	SIOCGLIFFLAGS							\
	CLINET_IOC(0xc0000000U, 117, sizeof (struct lifreq))
#define	SIOCGLIFNUM							\
	CLINET_IOC(0xc0000000U, 130, sizeof (struct lifnum))
#define	SIOCGLIFCONF	CLINET_IOC(0xc0000000U, 165, 16)

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_SOCKIO_H */
