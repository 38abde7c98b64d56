/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Where read(2) wants its bytes, in illumos. */

#ifndef	_SYS_UIO_H
#define	_SYS_UIO_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef struct iovec iovec_t;

typedef enum uio_rw { UIO_READ, UIO_WRITE } uio_rw_t;
typedef enum uio_seg {
	UIO_USERSPACE,
	UIO_SYSSPACE,
	UIO_USERISPACE
} uio_seg_t;

typedef struct uio {
	iovec_t		*uio_iov;
	int		uio_iovcnt;
	offset_t	_uio_offset;
	uio_seg_t	uio_segflg;
	uint16_t	uio_fmode;
	uint16_t	uio_extflg;
	offset_t	_uio_limit;
	ssize_t		uio_resid;
} uio_t;

extern int uiomove(void *, size_t, enum uio_rw, uio_t *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_UIO_H */
