/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Kinds of files of illumos. */

#ifndef	_SYS_STAT_H
#define	_SYS_STAT_H

#ifdef	__cplusplus
extern "C" {
#endif

#define	S_IFCHR		0x2000

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_STAT_H */
