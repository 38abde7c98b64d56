/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* What Rust sees of C: bindgen reads this, and the glue checks its layouts. */

#ifndef	_CLINETCTL_BINDINGS_H
#define	_CLINETCTL_BINDINGS_H

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/cmn_err.h>
#include <sys/condvar.h>
#include <sys/conf.h>
#include <sys/cred.h>
#include <sys/ddi.h>
#include <sys/devops.h>
#include <sys/file.h>
#include <sys/kmem.h>
#include <sys/modctl.h>
#include <sys/mutex.h>
#include <sys/open.h>
#include <sys/policy.h>
#include <sys/poll.h>
#include <sys/stat.h>
#include <sys/sunddi.h>
#include <sys/uio.h>

#include <cl_inet.h>
#include <clinet_control.h>

#include "glue.h"

/* The commands once more: bindgen does not expand macros with arguments. */
enum clinetctl_command {
	GET_VERSION = CLINETCTL_GET_VERSION,
	GET_STATE = CLINETCTL_GET_STATE,
	GET_STATS = CLINETCTL_GET_STATS,
	GET_CLOCK = CLINETCTL_GET_CLOCK,
	LIST = CLINETCTL_LIST,
	QUERY = CLINETCTL_QUERY,
	GET_GRANTS = CLINETCTL_GET_GRANTS,
	GET_ADDRS = CLINETCTL_GET_ADDRS,
	EVENTS = CLINETCTL_EVENTS,
	SET = CLINETCTL_SET,
	SET_ADDRS = CLINETCTL_SET_ADDRS,
	ATTACH = CLINETCTL_ATTACH,
	DETACH = CLINETCTL_DETACH,
	AUDIT = CLINETCTL_AUDIT,
	SWEEP = CLINETCTL_SWEEP,
	INSTALL = CLINETCTL_INSTALL,
	WITHDRAW = CLINETCTL_WITHDRAW,
	PURGE = CLINETCTL_PURGE,
	RESYNC_BEGIN = CLINETCTL_RESYNC_BEGIN,
	RESYNC_END = CLINETCTL_RESYNC_END,
	DELETE = CLINETCTL_DELETE,
	FLUSH = CLINETCTL_FLUSH,
	CONTROL = CLINETCTL_CONTROL,
	RELEASE = CLINETCTL_RELEASE,
	SET_GRANTS = CLINETCTL_SET_GRANTS,
	SET_DEADLINE = CLINETCTL_SET_DEADLINE,
	FENCE = CLINETCTL_FENCE,
	UNFENCE = CLINETCTL_UNFENCE
};

#endif	/* _CLINETCTL_BINDINGS_H */
