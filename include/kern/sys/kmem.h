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

/* For kmem_cache_create: no magazines; a free slab goes back at once. */
#define	KMC_NOMAGAZINE	0x00040000

typedef struct kmem_cache kmem_cache_t;
typedef struct vmem vmem_t;

extern void *kmem_alloc(size_t, int);
extern void *kmem_zalloc(size_t, int);
extern void kmem_free(void *, size_t);

extern kmem_cache_t *kmem_cache_create(char *, size_t, size_t,
    int (*)(void *, void *, int), void (*)(void *, void *),
    void (*)(void *), void *, vmem_t *, int);
extern void kmem_cache_destroy(kmem_cache_t *);
extern void *kmem_cache_alloc(kmem_cache_t *, int);
extern void kmem_cache_free(kmem_cache_t *, void *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_KMEM_H */
