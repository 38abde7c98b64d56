/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* The Solaris driver interface of illumos: tasks, devices, user memory. */

#ifndef	_SYS_SUNDDI_H
#define	_SYS_SUNDDI_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	DDI_SUCCESS	(0)
#define	DDI_FAILURE	(-1)
#define	DDI_SLEEP	0
#define	TASKQ_DEFAULTPRI	(-1)

typedef struct dev_info dev_info_t;
typedef struct ddi_taskq ddi_taskq_t;
typedef short pri_t;

#define	DDI_PSEUDO	"ddi_pseudo"

typedef enum {
	PROP_LEN = 0
} ddi_prop_op_t;

extern ddi_taskq_t *ddi_taskq_create(dev_info_t *, const char *, int, pri_t,
    uint_t);
extern void ddi_taskq_destroy(ddi_taskq_t *);
extern int ddi_taskq_dispatch(ddi_taskq_t *, void (*)(void *), void *,
    uint_t);
extern major_t ddi_name_to_major(char *);

extern int ddi_create_minor_node(dev_info_t *, char *, int, minor_t, char *,
    int);
extern void ddi_remove_minor_node(dev_info_t *, char *);
extern int ddi_prop_op(dev_t, dev_info_t *, ddi_prop_op_t, int, char *,
    caddr_t, int *);
extern int ddi_quiesce_not_needed(dev_info_t *);

/* 0 or -1; the last argument is the mode of an ioctl. */
extern int ddi_copyin(const void *, void *, size_t, int);
extern int ddi_copyout(const void *, void *, size_t, int);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_SUNDDI_H */
