/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Kernel sockets of illumos: what their ioctls need. */

#ifndef	_SYS_KSOCKET_H
#define	_SYS_KSOCKET_H

#include <sys/types.h>
#include <sys/cred.h>
#include <sys/socket.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	KSOCKET_SLEEP	0

typedef struct __ksocket *ksocket_t;

extern int ksocket_socket(ksocket_t *, int, int, int, int, struct cred *);
extern int ksocket_ioctl(ksocket_t, int, intptr_t, int *, struct cred *);
extern int ksocket_close(ksocket_t, struct cred *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_KSOCKET_H */
