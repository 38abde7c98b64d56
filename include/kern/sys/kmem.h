/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Kernel memory of illumos. */

#ifndef	_SYS_KMEM_H
#define	_SYS_KMEM_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	KM_SLEEP	0x0000
#define	KM_NOSLEEP	0x0001

extern void *kmem_alloc(size_t, int);
extern void kmem_free(void *, size_t);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_KMEM_H */
