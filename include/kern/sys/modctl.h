/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* Loadable modules of illumos: what a misc module needs. */

#ifndef	_SYS_MODCTL_H
#define	_SYS_MODCTL_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	MODREV_1	1
#define	MODMAXLINKINFOLEN	32
#define	KRTLD_MODE_FIRST	0x0001

struct mod_ops;
struct modinfo;

struct modlmisc {
	struct mod_ops	*misc_modops;
	char		*misc_linkinfo;
};

struct dev_ops;

struct modldrv {
	struct mod_ops	*drv_modops;
	char		*drv_linkinfo;
	struct dev_ops	*drv_dev_ops;
};

struct modlinkage {
	int	ml_rev;
	void	*ml_linkage[7];
};

extern struct mod_ops mod_miscops;
extern struct mod_ops mod_driverops;

extern int mod_install(struct modlinkage *);
extern int mod_remove(struct modlinkage *);
extern int mod_info(struct modlinkage *, struct modinfo *);

typedef struct __ddi_modhandle *ddi_modhandle_t;

extern ddi_modhandle_t ddi_modopen(const char *, int, int *);
extern void *ddi_modsym(ddi_modhandle_t, const char *, int *);
extern int ddi_modclose(ddi_modhandle_t);

extern int _init(void);
extern int _fini(void);
extern int _info(struct modinfo *);

#ifdef	__cplusplus
}
#endif

#endif	/* _SYS_MODCTL_H */
