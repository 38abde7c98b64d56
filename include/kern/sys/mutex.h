/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Mutexes of illumos. */

#ifndef	_SYS_MUTEX_H
#define	_SYS_MUTEX_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef struct mutex {
	void	*_opaque[1];
} kmutex_t;

typedef enum {
	MUTEX_DEFAULT = 6
} kmutex_type_t;

extern void mutex_init(kmutex_t *, char *, kmutex_type_t, void *);
extern void mutex_destroy(kmutex_t *);
extern void mutex_enter(kmutex_t *);
extern void mutex_exit(kmutex_t *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_MUTEX_H */
