/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * clinet_control.h: what the module clinet offers its control device, the
 * driver clinetctl, besides clinet.h.  Structures are those of clinetctl.h in
 * kernel memory; heads and addresses of the caller are the driver's business
 * and neither read nor written here.
 *
 * All functions are for a thread that may sleep and holds no lock, and answer 0
 * or an errno: EINVAL for a NULL pointer or a value that is none, ENXIO without
 * the built-in provider.
 */

#ifndef	_CLINET_CONTROL_H
#define	_CLINET_CONTROL_H

#include <sys/types.h>
#include <clinet.h>
#include <clinetctl.h>

#ifdef	__cplusplus
extern "C" {
#endif

/*
 * The version of this header.  The driver compares it with its own when it is
 * attached, and does not attach to another.
 */
#define	CLINET_CONTROL_VERSION	2
extern const uint32_t clinet_control_version;

/* The version of the module, such as "0.1.0". */
extern const char clinet_version[];

extern int clinet_control_state(clinetctl_state_t *);

/*
 * The stat of this number; ENOENT after the last.  Number 0 looks at all of the
 * registry, for the gauges that follow it.
 */
extern int clinet_control_stat(uint32_t, clinetctl_stat_t *);

/*
 * The module's clock in nanoseconds: gethrtime(9F), ahead by what the time of
 * day has jumped.
 */
extern uint64_t clinet_control_clock(void);

/* Fills what follows cq_incoming. */
extern int clinet_control_query(clinetctl_query_t *);

/*
 * The grants, and the bitmaps of TCP and UDP, CLINETCTL_BITMAP bytes each,
 * aligned to eight; of one moment.
 */
extern int clinet_control_get_grants(clinetctl_grants_t *, uint64_t *tcp,
    uint64_t *udp);
extern int clinet_control_set_grants(clinetctl_grants_t *,
    const uint64_t *tcp, const uint64_t *udp);
extern int clinet_control_set_deadline(clinetctl_deadline_t *);
extern int clinet_control_fence(void);
extern int clinet_control_unfence(const clinetctl_unfence_t *);

/* property, value, flags */
extern int clinet_control_set(uint32_t, uint64_t, uint32_t);
extern int clinet_control_detach(uint32_t flags);

/*
 * The list of shared addresses as text: up to *length bytes of it, and in
 * *length how many there are.  Nothing if all but loopback are shared.
 */
extern int clinet_control_addrs(char *text, uint32_t *length);

/* As CLINETCTL_DELETE. */
extern int clinet_control_delete(const clinetctl_tuple_t *, uint32_t stack,
    uint32_t flags);

/*
 * Events.  What an open wants by its mask, as in CLINETCTL_EVENTS, is
 * recorded until a close with the same mask; `wake' is called after new ones
 * came, every 10 ms at most, by a thread of clinet that may sleep and holds
 * no lock but the one that clinet_control_events_close() waits for.  One `wake'
 * at a time: EBUSY for another one.  *cursor becomes where reading begins.
 */
extern int clinet_control_events_open(void (*wake)(void), uint32_t mask,
    uint64_t *cursor);
extern void clinet_control_events_close(uint32_t mask);

/*
 * Up to *count events that the mask wants, from the cursor on, which moves on.
 * If some were overwritten before, an event CLINETCTL_EVENT_LOST comes first.
 * *count becomes how many there are, perhaps 0.
 */
extern int clinet_control_events(uint64_t *cursor, uint32_t mask,
    clinetctl_event_t *, uint32_t *count);

#ifdef	__cplusplus
}
#endif

#endif	/* _CLINET_CONTROL_H */
