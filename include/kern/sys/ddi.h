/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* The driver interface of illumos, which other modules may use too. */

#ifndef	_SYS_DDI_H
#define	_SYS_DDI_H

#include <sys/types.h>
#include <sys/time.h>

#ifdef	__cplusplus
extern "C" {
#endif

extern clock_t drv_usectohz(clock_t);
extern void delay(clock_t);
extern dev_t makedevice(major_t, minor_t);

extern major_t getmajor(dev_t);
extern minor_t getminor(dev_t);
extern dev_t makedevice(major_t, minor_t);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_DDI_H */
