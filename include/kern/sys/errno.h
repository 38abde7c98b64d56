/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Error numbers of illumos; Linux has others for the network ones. */

#ifndef	_SYS_ERRNO_H
#define	_SYS_ERRNO_H

#define	EPERM		1
#define	ENOENT		2
#define	EINTR		4
#define	ENXIO		6
#define	EAGAIN		11
#define	ENOMEM		12
#define	EACCES		13
#define	EFAULT		14
#define	EBUSY		16
#define	EINVAL		22
#define	ENOTTY		25
#define	ENOSPC		28
#define	ENOTSUP		48
#define	ETIME		62
#define	ENOTACTIVE	73
#define	EPROTONOSUPPORT	120
#define	EAFNOSUPPORT	124
#define	EADDRINUSE	125
#define	EADDRNOTAVAIL	126
#define	EHOSTUNREACH	148
#define	EINPROGRESS	150
#define	ESTALE		151

#endif	/* _SYS_ERRNO_H */
