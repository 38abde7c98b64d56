/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* poll(2) of illumos. */

#ifndef	_SYS_POLL_H
#define	_SYS_POLL_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	POLLIN		0x0001
#define	POLLRDNORM	0x0040

/* All zeros before its first use. */
typedef struct pollhead {
	struct polldat	*ph_list;
	void		*ph_pad1;
	short		ph_pad2;
} pollhead_t;

extern void pollwakeup(pollhead_t *, short);
extern void pollhead_clean(pollhead_t *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_POLL_H */
