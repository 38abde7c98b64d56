/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Zones of illumos. */

#ifndef	_SYS_ZONE_H
#define	_SYS_ZONE_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	ALL_ZONES	(-1)

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_ZONE_H */
