/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Flags of open files and of ioctls of illumos. */

#ifndef	_SYS_FILE_H
#define	_SYS_FILE_H

#ifdef	__cplusplus
extern "C" {
#endif

#define	FREAD		0x01
#define	FWRITE		0x02
#define	FNDELAY		0x04
#define	FNONBLOCK	0x80
#define	FKIOCTL		0x80000000

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_FILE_H */
