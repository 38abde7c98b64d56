/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Kernel messages of illumos. */

#ifndef	_SYS_CMN_ERR_H
#define	_SYS_CMN_ERR_H

#ifdef	__cplusplus
extern "C" {
#endif

#define	CE_CONT		0
#define	CE_NOTE		1
#define	CE_WARN		2
#define	CE_PANIC	3

extern void cmn_err(int, const char *, ...)
    __attribute__((format(printf, 2, 3)));

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_CMN_ERR_H */
