/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * What the foreign modules of the tests have in common: functions that note
 * their arguments where a test can read them, and the ends of a module.
 */

#ifndef	_RECORDER_H
#define	_RECORDER_H

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/cmn_err.h>
#include <sys/modctl.h>
#include <sys/atomic.h>
#include <cl_inet.h>

enum recorder_what {
	REC_CONNECT2 = 1,
	REC_DISCONNECT,
	REC_LISTEN,
	REC_UNLISTEN,
	REC_BIND,
	REC_UNBIND
};

/* One call, as it came.  Bytes that the family does not have are zero. */
typedef struct recorder_call {
	uint32_t	rc_what;
	uint32_t	rc_outgoing;
	uint8_t		rc_protocol;
	uint8_t		rc_pad;
	uint16_t	rc_family;
	uint16_t	rc_lport;
	uint16_t	rc_fport;
	uint8_t		rc_laddr[16];
	uint8_t		rc_faddr[16];
} recorder_call_t;

#define	RECORDER_CALLS	4096

/* Read and written by the tests, found by name. */
uint32_t recorder_count;
recorder_call_t recorder_calls[RECORDER_CALLS];
/* What connect2 answers, and the foreign port it concerns (0: every one). */
int32_t recorder_answer;
uint32_t recorder_port;

static void
recorder_copy(uint8_t *to, sa_family_t family, const uint8_t *from)
{
	size_t i, len = (family == AF_INET ? 4 : 16);

	for (i = 0; i < len; i++)
		to[i] = from[i];
}

static void
recorder_note(uint32_t what, uint8_t protocol, uint32_t outgoing,
    sa_family_t family, const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport)
{
	static const recorder_call_t empty;
	recorder_call_t *call = &recorder_calls[
	    recorder_count++ % RECORDER_CALLS];

	*call = empty;
	call->rc_what = what;
	call->rc_protocol = protocol;
	call->rc_outgoing = outgoing;
	call->rc_family = family;
	call->rc_lport = lport;
	call->rc_fport = fport;
	recorder_copy(call->rc_laddr, family, laddrp);
	if (faddrp != NULL)
		recorder_copy(call->rc_faddr, family, faddrp);
}

static int
recorder_connect2(uint8_t protocol, boolean_t is_outgoing,
    sa_family_t addr_family, uint8_t *laddrp, in_port_t lport,
    uint8_t *faddrp, in_port_t fport)
{
	recorder_note(REC_CONNECT2, protocol, is_outgoing, addr_family,
	    laddrp, lport, faddrp, fport);
	if (recorder_port != 0 && recorder_port != fport)
		return (0);
	return (recorder_answer);
}

static void
recorder_disconnect(uint8_t protocol, sa_family_t addr_family,
    uint8_t *laddrp, in_port_t lport, uint8_t *faddrp, in_port_t fport)
{
	recorder_note(REC_DISCONNECT, protocol, 0, addr_family,
	    laddrp, lport, faddrp, fport);
}

#define	RECORDER_LOCAL(name, what)					\
static void								\
recorder_##name(uint8_t protocol, sa_family_t addr_family,		\
    uint8_t *laddrp, in_port_t lport)					\
{									\
	recorder_note(what, protocol, 0, addr_family, laddrp, lport,	\
	    NULL, 0);							\
}

RECORDER_LOCAL(listen, REC_LISTEN)
RECORDER_LOCAL(unlisten, REC_UNLISTEN)
RECORDER_LOCAL(bind, REC_BIND)
RECORDER_LOCAL(unbind, REC_UNBIND)

static const cl_inet_provider_t recorder = {
	.cp_connect2 = recorder_connect2,
	.cp_disconnect = recorder_disconnect,
	.cp_listen = recorder_listen,
	.cp_unlisten = recorder_unlisten,
	.cp_bind = recorder_bind,
	.cp_unbind = recorder_unbind
};

/* The version that is in use, for the tests to read. */
const char *recorder_version;

static int
recorder_associate(const char *version)
{
	cl_inet_association_t result = cl_inet_associate(&recorder, version);

	switch (result) {
	case CL_INET_ASSOCIATED:
		recorder_version = version;
		return (0);
	case CL_INET_OTHER_VERSION:
		cmn_err(CE_WARN, "wanted version %s of the cluster contract, "
		    "found %s", version, cluster_version_supported);
		return (ENOTSUP);
	case CL_INET_NOT_CLINET:
		cmn_err(CE_WARN, "these hooks are not clinet's");
		return (ENXIO);
	case CL_INET_TAKEN:
		return (EBUSY);
	case CL_INET_NO_QUESTION:
		return (EINVAL);
	case CL_INET_LOST:
		break;
	}
	return (0);
}

#define	RECORDER_MODULE(depends, associate)				\
const char _depends_on[] = depends;					\
									\
static struct modlmisc modlmisc = {					\
	&mod_miscops, "foreign module of the tests"			\
};									\
									\
static struct modlinkage modlinkage = {					\
	MODREV_1, { &modlmisc, NULL }					\
};									\
									\
int									\
_init(void)								\
{									\
	int error = mod_install(&modlinkage);				\
									\
	if (error == 0 && (error = (associate)) != 0)			\
		(void) mod_remove(&modlinkage);				\
	return (error);							\
}									\
									\
int									\
_fini(void)								\
{									\
	return (EBUSY);							\
}									\
									\
int									\
_info(struct modinfo *modinfop)						\
{									\
	return (mod_info(&modlinkage, modinfop));			\
}

#endif	/* _RECORDER_H */
