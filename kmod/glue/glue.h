/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * Between the C glue and the Rust code of the module; nobody else's business.
 */

#ifndef	_CLINET_GLUE_H
#define	_CLINET_GLUE_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

/* The tunables, as /etc/system left them. */
typedef struct clinet_tunables {
	uint32_t	ct_provider;
	uint32_t	ct_node_id;
	uint32_t	ct_max_tuples;
	uint32_t	ct_full_refuse;
	uint32_t	ct_udp_age;
	uint32_t	ct_prealloc;
} clinet_tunables_t;

/*
 * Sets everything up but tells nobody.  May sleep.  0, or the errno that
 * _init() has to return; then nothing is left behind.
 */
extern int clinet_module_init(const clinet_tunables_t *);

/* Associates the built-in provider.  To be called once _init() cannot fail. */
extern void clinet_module_start(void);

/* EBUSY once a provider is associated: its functions may be running. */
extern int clinet_module_busy(void);

/* Frees everything.  Nobody may be inside the module any more. */
extern void clinet_module_fini(void);

/* cmn_err() with a message that is not a format. */
extern void clinet_log(int, const char *);

#ifdef	__cplusplus
}
#endif

#endif	/* _CLINET_GLUE_H */
