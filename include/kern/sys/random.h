/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Random numbers of illumos. */

#ifndef	_SYS_RANDOM_H
#define	_SYS_RANDOM_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

extern int random_get_pseudo_bytes(uint8_t *, size_t);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_RANDOM_H */
