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
#include <clinetctl_commands.h>

#include "glue.h"

#endif	/* _CLINETCTL_BINDINGS_H */
