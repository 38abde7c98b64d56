/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * Between the C glue and the Rust code of the driver; nobody else's business.
 */

#ifndef	_CLINETCTL_GLUE_H
#define	_CLINETCTL_GLUE_H

#include <sys/types.h>
#include <sys/cred.h>
#include <sys/devops.h>
#include <sys/uio.h>

#ifdef	__cplusplus
extern "C" {
#endif

/* Before anything else, and after everything. */
extern void clinetctl_init(void);
extern void clinetctl_fini(void);

/* The entry points of the driver. */
extern int clinetctl_getinfo(dev_info_t *, ddi_info_cmd_t, void *, void **);
extern int clinetctl_attach(dev_info_t *, ddi_attach_cmd_t);
extern int clinetctl_detach(dev_info_t *, ddi_detach_cmd_t);
extern int clinetctl_open(dev_t *, int, int, cred_t *);
extern int clinetctl_close(dev_t, int, int, cred_t *);
extern int clinetctl_read(dev_t, struct uio *, cred_t *);
extern int clinetctl_ioctl(dev_t, int, intptr_t, int, cred_t *, int *);
extern int clinetctl_chpoll(dev_t, short, int, short *, struct pollhead **);

/* cmn_err() with a message that is not a format. */
extern void clinet_log(int, const char *);

#ifdef	__cplusplus
}
#endif

#endif	/* _CLINETCTL_GLUE_H */
