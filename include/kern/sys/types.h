/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Kernel types of illumos (amd64, LP64) for where its headers are absent. */

#ifndef	_SYS_TYPES_H
#define	_SYS_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef enum { B_FALSE, B_TRUE } boolean_t;

typedef unsigned char	uchar_t;
typedef unsigned short	ushort_t;
typedef unsigned int	uint_t;
typedef unsigned long	ulong_t;

typedef void		*timeout_id_t;
typedef char		*caddr_t;
typedef long		daddr_t;
typedef long		off_t;
typedef long long	offset_t;
typedef long		ssize_t;
typedef ulong_t		dev_t;
typedef uint_t		major_t;
typedef uint_t		minor_t;
typedef int		zoneid_t;

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_TYPES_H */
