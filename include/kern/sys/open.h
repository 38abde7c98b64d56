/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Kinds of open of illumos. */

#ifndef	_SYS_OPEN_H
#define	_SYS_OPEN_H

#ifdef	__cplusplus
extern "C" {
#endif

#define	OTYP_CHR	2
#define	OTYP_LYR	4

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_OPEN_H */
