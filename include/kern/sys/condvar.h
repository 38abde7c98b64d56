/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Condition variables of illumos. */

#ifndef	_SYS_CONDVAR_H
#define	_SYS_CONDVAR_H

#include <sys/types.h>
#include <sys/time.h>
#include <sys/mutex.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef struct _kcondvar {
	ushort_t	_opaque;
} kcondvar_t;

typedef enum {
	CV_DEFAULT
} kcv_type_t;

extern void cv_init(kcondvar_t *, char *, kcv_type_t, void *);
extern void cv_destroy(kcondvar_t *);
extern void cv_signal(kcondvar_t *);
extern void cv_broadcast(kcondvar_t *);
extern int cv_wait_sig(kcondvar_t *, kmutex_t *);
extern clock_t cv_reltimedwait(kcondvar_t *, kmutex_t *, clock_t, time_res_t);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_CONDVAR_H */
