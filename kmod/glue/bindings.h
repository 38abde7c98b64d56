/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* What Rust sees of C: bindgen reads this, and the glue checks its layouts. */

#ifndef	_CLINET_BINDINGS_H
#define	_CLINET_BINDINGS_H

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/cmn_err.h>
#include <sys/condvar.h>
#include <sys/cred.h>
#include <sys/ddi.h>
#include <sys/file.h>
#include <sys/kmem.h>
#include <sys/ksocket.h>
#include <sys/kstat.h>
#include <sys/modctl.h>
#include <sys/mutex.h>
#include <sys/netstack.h>
#include <sys/open.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/stropts.h>
#include <sys/sunddi.h>
#include <sys/sunldi.h>
#include <sys/systm.h>
#include <sys/time.h>
#include <sys/zone.h>
#include <net/if.h>
#include <netinet/in.h>
#include <inet/tcp.h>

#include <cl_inet.h>
#include <clinet.h>
#include <clinetctl.h>
#include <clinet_control.h>

#include "glue.h"
#include "ip_hooks.h"

#endif	/* _CLINET_BINDINGS_H */
