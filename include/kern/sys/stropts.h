/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Ioctls of streams in illumos. */

#ifndef	_SYS_STROPTS_H
#define	_SYS_STROPTS_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	I_STR	(('S' << 8) | 010)

struct strioctl {
	int	ic_cmd;
	int	ic_timout;
	int	ic_len;
	char	*ic_dp;
};

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_STROPTS_H */
