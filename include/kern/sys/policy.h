/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Who may do what, in illumos. */

#ifndef	_SYS_POLICY_H
#define	_SYS_POLICY_H

#include <sys/types.h>
#include <sys/cred.h>

#ifdef	__cplusplus
extern "C" {
#endif

/* 0, or an errno. */
extern int secpolicy_net_observability(const cred_t *);
extern int secpolicy_ip_config(const cred_t *, boolean_t checkonly);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_POLICY_H */
