/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* General kernel functions of illumos. */

#ifndef	_SYS_SYSTM_H
#define	_SYS_SYSTM_H

#include <sys/types.h>
#include <sys/time.h>

#ifdef	__cplusplus
extern "C" {
#endif

extern int strcmp(const char *, const char *);
extern timeout_id_t realtime_timeout(void (*)(void *), void *, clock_t);
extern clock_t untimeout(timeout_id_t);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_SYSTM_H */
