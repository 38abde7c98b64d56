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
#include <sys/ksocket.h>
#include <sys/sockio.h>
#include <sys/stropts.h>
#include <sys/sunldi.h>
#include <inet/tcp.h>

#ifdef	__cplusplus
extern "C" {
#endif

/* The tunables that are read when the module is loaded. */
typedef struct clinet_tunables {
	uint32_t	ct_provider;
	uint32_t	ct_attach;
	uint32_t	ct_hook_disconnect;
	uint32_t	ct_mode;
	uint32_t	ct_detach;
	uint32_t	ct_node_id;
	uint32_t	ct_scope;
	uint32_t	ct_max_tuples;
	uint32_t	ct_udp_share;
	uint32_t	ct_prealloc;
	uint32_t	ct_full_refuse;
	uint32_t	ct_udp_age;
	uint32_t	ct_audit_period;
	uint32_t	ct_incoming;
	uint32_t	ct_explicit;
	uint32_t	ct_other_stack;
	uint32_t	ct_fence;
	uint32_t	ct_fence_seconds;
	const char	*ct_addrs;
	const char	*ct_port_space;
	const char	*ct_grants;
} clinet_tunables_t;

/* Those that the module's thread reads again every second. */
extern volatile uint32_t clinet_mode;
extern volatile uint32_t clinet_detach;
extern volatile uint32_t clinet_audit_now;

/*
 * Sets everything up but tells nobody.  May sleep.  0, or the errno that
 * _init() has to return; then nothing is left behind.
 */
extern int clinet_module_init(const clinet_tunables_t *);

/*
 * Associates the built-in provider and attaches to ip, as the tunables say.  To
 * be called once _init() cannot fail.
 */
extern void clinet_module_start(void);

/*
 * EBUSY once a provider is associated or a hook of ip was set: functions of
 * the module may be running.  After 0 nothing of ip is touched any more.
 */
extern int clinet_module_busy(void);

/* Frees everything.  Nobody may be inside the module any more. */
extern void clinet_module_fini(void);

/* Who opens devices: this module. */
extern int clinet_ident(ldi_ident_t *);

/* Of misc/ksocket, which is found by name. */
typedef __typeof__(&ksocket_socket) clinet_ksocket_socket_fn;
typedef __typeof__(&ksocket_ioctl) clinet_ksocket_ioctl_fn;
typedef __typeof__(&ksocket_close) clinet_ksocket_close_fn;

/* Numbers that are no plain macros. */
enum {
	CLINET_SIOCLIFREMOVEIF = (uint_t)SIOCLIFREMOVEIF,
	CLINET_SIOCLIFADDIF = (uint_t)SIOCLIFADDIF,
	CLINET_SIOCSLIFFLAGS = (uint_t)SIOCSLIFFLAGS,
	CLINET_SIOCGLIFFLAGS = (uint_t)SIOCGLIFFLAGS,
	CLINET_SIOCGLIFNUM = (uint_t)SIOCGLIFNUM,
	CLINET_SIOCGLIFCONF = (uint_t)SIOCGLIFCONF,
	CLINET_I_STR = I_STR,
	CLINET_TCP_IOC_ABORT_CONN = TCP_IOC_ABORT_CONN
};

/* cmn_err() with a message that is not a format. */
extern void clinet_log(int, const char *);

#ifdef	__cplusplus
}
#endif

#endif	/* _CLINET_GLUE_H */
