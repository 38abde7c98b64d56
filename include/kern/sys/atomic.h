/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Atomic operations of illumos. */

#ifndef	_SYS_ATOMIC_H
#define	_SYS_ATOMIC_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

extern void atomic_inc_32(volatile uint32_t *);
extern void *atomic_cas_ptr(volatile void *, void *, void *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_ATOMIC_H */
