/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Time of illumos. */

#ifndef	_SYS_TIME_H
#define	_SYS_TIME_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef long		clock_t;
typedef long long	hrtime_t;
typedef long		time_t;

typedef struct timespec {
	time_t	tv_sec;
	long	tv_nsec;
} timestruc_t;

/* How exactly a wait is to be timed; the number is a part of the interface. */
typedef enum {
	TR_CLOCK_TICK = 4
} time_res_t;

extern hrtime_t gethrtime(void);
extern void gethrestime(timestruc_t *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_TIME_H */
