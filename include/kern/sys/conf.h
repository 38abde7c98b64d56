/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* What a driver is capable of, in illumos. */

#ifndef	_SYS_CONF_H
#define	_SYS_CONF_H

#ifdef	__cplusplus
extern "C" {
#endif

#define	D_NEW		0x00
#define	D_MP		0x0020

extern int nodev();
extern int nulldev();

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_CONF_H */
