/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* IP stacks of illumos: one for each zone that has its own. */

#ifndef	_SYS_NETSTACK_H
#define	_SYS_NETSTACK_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef int	netstackid_t;
typedef int	netstack_handle_t;

/* Its members are ip's business, and their places differ between builds. */
typedef struct netstack netstack_t;

extern void netstack_next_init(netstack_handle_t *);
extern netstack_t *netstack_next(netstack_handle_t *);
extern void netstack_next_fini(netstack_handle_t *);
extern netstack_t *netstack_find_by_stackid(netstackid_t);
extern void netstack_rele(netstack_t *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_NETSTACK_H */
