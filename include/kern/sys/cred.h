/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Credentials of illumos. */

#ifndef	_SYS_CRED_H
#define	_SYS_CRED_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef struct cred cred_t;

extern zoneid_t crgetzoneid(const cred_t *);
extern cred_t *kcred;

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_CRED_H */
