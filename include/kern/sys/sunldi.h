/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* The layered driver interface of illumos. */

#ifndef	_SYS_SUNLDI_H
#define	_SYS_SUNLDI_H

#include <sys/types.h>
#include <sys/cred.h>
#include <sys/modctl.h>

#ifdef	__cplusplus
extern "C" {
#endif

typedef struct __ldi_handle *ldi_handle_t;
typedef struct __ldi_ident *ldi_ident_t;

extern int ldi_ident_from_mod(struct modlinkage *, ldi_ident_t *);
extern void ldi_ident_release(ldi_ident_t);
extern int ldi_open_by_dev(dev_t *, int, int, cred_t *, ldi_handle_t *,
    ldi_ident_t);
extern int ldi_close(ldi_handle_t, int, cred_t *);
extern int ldi_ioctl(ldi_handle_t, int, intptr_t, int, cred_t *, int *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_SUNLDI_H */
