/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * clinet.h: what the clinet module offers other kernel modules.
 *
 *   for a TCP/IP stack:  when to ask, and what the answer does
 *                        (clinet_tcp_*, clinet_udp_*, and the plain calls of
 *                        the contract, clinet_ask and its companions);
 *   for a cluster:       the entries of other nodes (clinet_install,
 *                        clinet_withdraw, clinet_purge, clinet_resync_begin
 *                        and clinet_resync_end);
 *   for everybody:       counters (clinet_stats), and the bond with a stock ip
 *                        (clinet_attach_ip, clinet_detach_ip, clinet_audit,
 *                        clinet_set_addrs, clinet_state).
 *
 * A module that calls these names misc/clinet among its dependencies.
 *
 * In all of them: ports are in network byte order; an address points at 4
 * (AF_INET) or 16 (AF_INET6) bytes in network byte order, which are read during
 * the call and which nobody may write meanwhile; errno values are illumos's.
 * A NULL pointer is EINVAL, an address family other than these two
 * EAFNOSUPPORT; calls without a result count such arguments and do nothing.
 * Unless said otherwise a function does not sleep, takes at most clinet's own
 * innermost mutexes, and may be called from an interrupt thread and with any
 * lock of the stack held.  Structures that are filled grow at their end only:
 * the caller says how large the one is that it knows.
 */

#ifndef	_CLINET_H
#define	_CLINET_H

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/socket.h>
#include <netinet/in.h>

#ifdef	__cplusplus
extern "C" {
#endif

/*
 * The contract, called through its slots: each loads its slot once and calls
 * what it found.  (The slots themselves, cl_inet_connect2 and so on, are NULL
 * without a provider and are not to be called.)  Without a provider clinet_ask
 * answers 0.  A protocol other than TCP and UDP is answered 0 without a
 * question.  clinet_end tells that an accepted 5-tuple is no longer in use.
 *
 * The answer is 0 or a positive errno.  A provider's negative value or
 * EINPROGRESS, which would harm the stack, is counted and becomes
 * EADDRNOTAVAIL.
 */
extern int clinet_ask(uint8_t protocol, boolean_t is_outgoing,
    sa_family_t addr_family, const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport);
extern void clinet_end(uint8_t protocol, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport);
extern void clinet_listen(uint8_t protocol, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);
extern void clinet_unlisten(uint8_t protocol, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);
extern void clinet_bind(uint8_t protocol, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);
extern void clinet_unbind(uint8_t protocol, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);

/*
 * TCP.  One of these lives in each connection's own state; all zeros is a
 * connection that never asked.  The members are clinet's.
 */
typedef struct clinet_tcp {
	uint32_t	ct_state;	/* an accepted question is open */
	sa_family_t	ct_family;
	in_port_t	ct_lport;
	in_port_t	ct_fport;
	uint16_t	ct_pad;
	uint8_t		ct_laddr[16];
	uint8_t		ct_faddr[16];
} clinet_tcp_t;

/*
 * To be called once per connect() (is_outgoing B_TRUE), after route and
 * source are chosen and before the SYN leaves, and once per SYN that would
 * create a connection (B_FALSE), before the SYN-ACK leaves.
 *
 * 0: go on.  An errno: a connect() fails with it, and the socket must not be
 * used for another one; a SYN is dropped without a RST, and a copy of it that
 * comes later asks again.  An unspecified local address is 0 without a
 * question.  If ct still holds an accepted question, that one is ended first.
 * The caller serialises the calls for one ct (it is inside the squeue).
 */
extern int clinet_tcp_connect(clinet_tcp_t *ct, boolean_t is_outgoing,
    sa_family_t addr_family, const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport);

/*
 * The connection is gone, or will not come to be.  May be called any number
 * of times and for connections that never asked or were refused: the provider
 * is told exactly once per accepted question, with the 5-tuple of the
 * question.
 */
extern void clinet_tcp_disconnect(clinet_tcp_t *ct);

/* A TCP endpoint starts or stops listening. */
extern void clinet_tcp_listen(sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);
extern void clinet_tcp_unlisten(sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);

/*
 * UDP.  The most recent destination of an endpoint: the two fields of the
 * contract that live in a udp_t.  IPv4 is kept as ::ffff:a.b.c.d.  All zeros
 * is "none" and equals no destination.  The endpoint's lock protects them.
 */
typedef struct clinet_udp {
	in6_addr_t	udp_cl_v6lastdst;
	in_port_t	udp_cl_lastdstport;	/* network byte order */
} clinet_udp_t;

/*
 * A question under way, on the caller's stack between two holds of the
 * endpoint's lock.  The members are clinet's.
 */
typedef struct clinet_udp_ask {
	clinet_udp_t	cua_dst;	/* the destination asked about */
	uint16_t	cua_family;	/* and its family, as passed in */
	uint16_t	cua_pad;
	clinet_udp_t	cua_seen;	/* what the endpoint held before */
	uint32_t	cua_generation;	/* resets of the endpoint so far */
} clinet_udp_ask_t;

/*
 * sendto() and sendmsg(), with control data or without:
 *
 *	mutex_enter(endpoint lock);
 *	error = clinet_udp_send_begin(cu, &ask, family, dst, port);
 *	if (error == CLINET_UDP_ASK) {
 *		mutex_exit(endpoint lock);
 *		error = clinet_udp_send_ask(&ask, laddr, lport);
 *		mutex_enter(endpoint lock);
 *		if (error == 0)
 *			clinet_udp_send_end(cu, &ask);
 *	}
 *	mutex_exit(endpoint lock);
 *	if (error != 0)
 *		return (error);
 *
 * begin answers 0 if this is the most recent destination (send, nothing to
 * ask), CLINET_UDP_ASK if it is not, or an errno.  ask answers 0 or, refused,
 * EHOSTUNREACH: the most recent destination stays as it was and the next send
 * asks again.  end makes the destination the most recent one, unless the
 * endpoint was reset or sent elsewhere since begin.
 */
#define	CLINET_UDP_ASK	(-1)

extern int clinet_udp_send_begin(const clinet_udp_t *cu,
    clinet_udp_ask_t *ask, sa_family_t addr_family,
    const uint8_t *faddrp, in_port_t fport);
extern int clinet_udp_send_ask(const clinet_udp_ask_t *ask,
    const uint8_t *laddrp, in_port_t lport);
extern void clinet_udp_send_end(clinet_udp_t *cu,
    const clinet_udp_ask_t *ask);

/*
 * connect(): always asked about.  The same pattern; begin (lock held) forgets
 * the most recent destination and answers 0 or an errno; ask (lock not held,
 * after route and source are chosen) answers 0 or, refused, EADDRNOTAVAIL;
 * end (lock held) makes the peer the most recent destination.  A connect()
 * that was refused does not call end.
 */
extern int clinet_udp_connect_begin(clinet_udp_t *cu, clinet_udp_ask_t *ask,
    sa_family_t addr_family, const uint8_t *faddrp, in_port_t fport);
extern int clinet_udp_connect_ask(const clinet_udp_ask_t *ask,
    const uint8_t *laddrp, in_port_t lport);
extern void clinet_udp_connect_end(clinet_udp_t *cu,
    const clinet_udp_ask_t *ask);

/*
 * Forgets the most recent destination: disconnect, a socket option that
 * changes routing or headers, a send that IP failed.  Endpoint lock held.
 */
extern void clinet_udp_reset(clinet_udp_t *cu);

/*
 * bind and unbind, the latter on close as well: tell the provider, and forget
 * the most recent destination.  Endpoint lock held.
 */
extern void clinet_udp_bind(clinet_udp_t *cu, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);
extern void clinet_udp_unbind(clinet_udp_t *cu, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport);

/*
 * The cluster's side of the built-in provider: what other nodes own, on the
 * global stack.  All answer ENXIO if the built-in provider is not loaded.
 */
typedef uint32_t clinet_node_t;		/* 0 is no node */

/*
 * Records that `owner' owns the 5-tuple.  0, also if it did already.
 * EADDRINUSE: this node or a third one holds it; nothing changes and a
 * conflict is counted.  EADDRNOTAVAIL: the local address is not shared.
 * EINVAL: owner is 0 or this node, or the local address is unspecified.
 * EPROTONOSUPPORT: neither TCP nor UDP.  ENOSPC: a limit is reached, of
 * 5-tuples, local addresses or nodes.  EAGAIN: there is no room now, most
 * likely since the kernel has no memory.
 */
extern int clinet_install(clinet_node_t owner, uint8_t protocol,
    sa_family_t addr_family, const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport);

/*
 * Takes it back.  0, ENOENT if `owner' does not own the 5-tuple, EINVAL if
 * owner is 0 or this node, EPROTONOSUPPORT for neither TCP nor UDP.
 */
extern int clinet_withdraw(clinet_node_t owner, uint8_t protocol,
    sa_family_t addr_family, const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport);

/*
 * Drops all that `owner' owns: it left the cluster.  0; EINVAL for 0 and for
 * this node; EAGAIN after 250 of these and of clinet_resync_begin() for one
 * owner since the last sweep, which comes by every ten seconds.  Takes effect
 * at once and does not take long: a sweep reclaims the entries later.
 */
extern int clinet_purge(clinet_node_t owner);

/*
 * `owner' is going to name all that it owns, again, by clinet_install.  Nothing
 * goes yet.  What it did not name by clinet_resync_end goes then, at once.  If
 * whoever began dies, beginning again is right.  Errors as for clinet_purge,
 * but clinet_resync_begin() is EAGAIN after 200 already, so that a purge is
 * possible then, and clinet_resync_end() never is.
 */
extern int clinet_resync_begin(clinet_node_t owner);
extern int clinet_resync_end(clinet_node_t owner);

/*
 * Why a question is answered as it is.
 */
#define	CLINET_FREE		0	/* nobody's: would be registered */
#define	CLINET_OURS		1	/* this node's: one more reference */
#define	CLINET_OWNED		2	/* another node's: EADDRINUSE */
#define	CLINET_FULL		3	/* no room: clinet_max_tuples */
#define	CLINET_LATE		4	/* no room now: try again */
#define	CLINET_NOT_SHARED	5	/* the local address is not shared */
#define	CLINET_NO_ADDRESS	6	/* there is no local address */
#define	CLINET_FULL_UDP		7	/* no room: clinet_udp_share */
#define	CLINET_FULL_ADDRESSES	8	/* too many local addresses */
#define	CLINET_FULL_NODES	9	/* clinet_install (an event says it) */
/* With a port space (clinet_port_space), before any of those above: */
#define	CLINET_LAPSED		10	/* granted, the deadline has passed */
#define	CLINET_NOT_GRANTED	11	/* in the space, not this node's */
#define	CLINET_EXPLICIT		12	/* outside the space, not reserved */
#define	CLINET_OTHER_STACK	13	/* not the global stack */

typedef struct clinet_answer {
	uint32_t	ca_reason;	/* one of the above */
	clinet_node_t	ca_owner;	/* CLINET_OURS, CLINET_OWNED; or 0 */
	uint32_t	ca_references;	/* CLINET_OURS */
	uint32_t	ca_pad;
} clinet_answer_t;

/*
 * What the built-in provider would answer to a question about this 5-tuple of
 * the global stack: 0 or the errno, and why, in *answer unless that is NULL, of
 * which min(size, sizeof (clinet_answer_t)) bytes are written.  Changes and
 * counts nothing.  The answer is that of the mode enforce, whatever the mode
 * is.  A question that is asked later may be answered otherwise.  ENXIO
 * without the built-in provider; EPROTONOSUPPORT for neither TCP nor UDP.
 */
extern int clinet_query(uint8_t protocol, sa_family_t addr_family,
    const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport, clinet_answer_t *answer,
    size_t size);

/*
 * Listing: entries, and where the listing goes on.  A cursor starts as zeros.
 * An entry that is there all the time is listed exactly once, others perhaps.
 */
typedef struct clinet_cursor {
	uint32_t	cc_shard;	/* clinet's */
	uint32_t	cc_fraction;	/* clinet's */
} clinet_cursor_t;

typedef struct clinet_entry {
	uint8_t		ce_laddr[16];	/* IPv4 as ::ffff:a.b.c.d */
	uint8_t		ce_faddr[16];
	in_port_t	ce_lport;	/* network byte order */
	in_port_t	ce_fport;
	uint8_t		ce_protocol;	/* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t		ce_outgoing;	/* TCP of this node: connect(); 0 */
					/* also for what an audit added */
	uint16_t	ce_pad;
	uint32_t	ce_stack;	/* netstackid_t */
	clinet_node_t	ce_owner;
	uint32_t	ce_references;	/* of an entry of this node */
	uint32_t	ce_age;		/* UDP of this node: seconds, */
					/* roughly; a day at most if */
					/* clinet_udp_age is 0 */
} clinet_entry_t;

/* The least number of entries that clinet_list() takes. */
#define	CLINET_LIST_LEAST	64

/*
 * Copies up to *count entries to entries[], whose elements have `size' bytes,
 * and sets *count to their number.  0: there is more; ENOENT: that was the last
 * of them (*count may still be positive); EINVAL: *count is less than
 * CLINET_LIST_LEAST, or size is 0; ENXIO.  For a thread that may block: it
 * waits for clinet's own maintenance.
 */
extern int clinet_list(clinet_cursor_t *cursor, clinet_entry_t *entries,
    uint32_t *count, size_t size);

/*
 * Drops what is too old, and reclaims what unbind and purge left behind, now
 * instead of some seconds later.  For a thread that may block; looks at all
 * entries, and takes no lock for more than a few of them at a time.
 */
extern void clinet_sweep(void);

/* Bytes of kernel memory that clinet has allocated now, all of them. */
extern uint64_t clinet_memory(void);

/*
 * What the built-in provider answered, for one protocol and direction.
 */
typedef struct clinet_flow_stats {
	uint64_t	cf_asked;		/* the sum of answers */
	uint64_t	cf_registered;		/* new 5-tuples */
	uint64_t	cf_repeated;		/* ours already */
	uint64_t	cf_owned;		/* another node's: refused */
	uint64_t	cf_full;		/* no room: clinet_max_tuples */
	uint64_t	cf_late;		/* no room at that moment */
	uint64_t	cf_no_address;		/* no local address */
	uint64_t	cf_not_shared;		/* local address not shared */
	uint64_t	cf_observed;		/* mode observe: accepted */
	uint64_t	cf_udp_full;		/* no room: clinet_udp_share */
	uint64_t	cf_addresses_full;	/* no room: local addresses */
} clinet_flow_stats_t;

/*
 * With a port space: what was refused before the provider's registry was asked.
 * The first four are among cf_asked.
 */
typedef struct clinet_flow_grants {
	uint64_t	cg_lapsed;		/* CLINET_LAPSED */
	uint64_t	cg_not_granted;		/* CLINET_NOT_GRANTED */
	uint64_t	cg_explicit;		/* CLINET_EXPLICIT */
	uint64_t	cg_other_stack;		/* CLINET_OTHER_STACK */
	uint64_t	cg_explicit_admitted;	/* not refused, by a policy */
	uint64_t	cg_other_stack_admitted;
} clinet_flow_grants_t;

/*
 * Counters since the module was loaded.  Members are only ever added at the
 * end; the numbers of one snapshot are not taken at one instant.
 */
typedef struct clinet_stats {
	uint64_t	cs_tcp_out_asked;	/* the slot was called */
	uint64_t	cs_tcp_in_asked;
	uint64_t	cs_udp_asked;
	uint64_t	cs_tcp_out_refused;	/* ... and said no */
	uint64_t	cs_tcp_in_refused;
	uint64_t	cs_udp_refused;
	uint64_t	cs_no_provider;		/* nobody to ask or tell */
	uint64_t	cs_no_laddr;		/* TCP, unspecified local */
	uint64_t	cs_other_protocol;	/* neither TCP nor UDP */
	uint64_t	cs_bad_argument;	/* NULL pointer, odd family */
	uint64_t	cs_bad_answer;		/* negative or EINPROGRESS */
	uint64_t	cs_ended;		/* disconnect was told */
	uint64_t	cs_udp_overtaken;	/* end found it changed */
	/* The built-in provider. */
	uint64_t	cs_registered;		/* of all flows: see below */
	uint64_t	cs_repeated;
	uint64_t	cs_owned_elsewhere;
	uint64_t	cs_full_admitted;	/* no room: let through */
	uint64_t	cs_full_refused;	/* no room: refused */
	uint64_t	cs_removed;		/* last reference dropped */
	uint64_t	cs_unknown;		/* ending of the unregistered */
	uint64_t	cs_unspecified;		/* unspecified local address */
	uint64_t	cs_conflicts;		/* install of a held one */
	uint64_t	cs_tuples;		/* gauge: unswept ones too */
	uint64_t	cs_capacity;		/* gauge: entries at most */
	uint64_t	cs_binds_uncounted;	/* no room for the endpoint */
	uint64_t	cs_other_family;	/* of cs_bad_argument */
	uint64_t	cs_aged;		/* UDP entries, too old */
	uint64_t	cs_dropped;		/* endpoint or owner gone */
	uint64_t	cs_purged;		/* purges of a node */
	uint64_t	cs_audit_added;		/* found in the stack only */
	uint64_t	cs_audit_removed;	/* not found in the stack */
	uint64_t	cs_audit_conflicts;	/* in the stack, not ours */
	uint64_t	cs_cleared;		/* by attach, detach, mode 0 */
	clinet_flow_stats_t cs_tcp_out;
	clinet_flow_stats_t cs_tcp_in;
	clinet_flow_stats_t cs_udp;
	uint64_t	cs_addresses_full;	/* install: local addresses */
	uint64_t	cs_nodes_full;		/* install: nodes */
	uint64_t	cs_install_late;	/* install: no room then */
	clinet_flow_grants_t cs_tcp_out_grants;
	clinet_flow_grants_t cs_tcp_in_grants;
	clinet_flow_grants_t cs_udp_grants;
} clinet_stats_t;

/*
 * Copies min(size, sizeof (clinet_stats_t)) bytes to *cs; size is that of the
 * caller's structure.  EINVAL for a NULL cs.
 */
extern int clinet_stats(clinet_stats_t *cs, size_t size);

/*
 * The bond with a stock ip, whose hook variables clinet sets.  These functions
 * sleep: thread context, no lock held.
 */

/*
 * Sets ip's hooks, as the module does when it is loaded unless clinet_attach is
 * 0 in /etc/system.  0, also if they are set already.  ENXIO: drv/ip cannot be
 * opened.  ENOTSUP: it lacks a variable, or the walk.  EBUSY: another module
 * has set one, or clinet is being unloaded.  After an error nothing of ip was
 * touched unless the state says CLINET_PARTIAL; a warning in the log names the
 * variable.
 */
extern int clinet_attach_ip(void);

/*
 * Puts functions into ip's hooks that accept everything and touch nothing, and
 * forgets what came through them.  0, also if that was done already; ENXIO if
 * the hooks were never set; EBUSY while ports are granted to this node.  The
 * module stays loaded until the machine goes down: a thread of ip may be inside
 * it, and nobody counts those.
 */
extern int clinet_detach_ip(void);

/*
 * Has two audits done soon, one after the other, by a thread of clinet: what
 * both saw of ip's TCP connections and the registry has not is added, what both
 * did not see is removed, if it came through ip's hooks.  0, or ENXIO if clinet
 * is not attached to ip with the built-in provider, or clinet_mode is 0.
 */
extern int clinet_audit(void);

/*
 * From now on these local addresses are shared: numbers as in
 * "192.0.2.10,2001:db8::10", at most 256 of them, in place of what the
 * tunables clinet_addrs and clinet_scope said.  An empty list means all local
 * addresses but loopback.  0, EINVAL for NULL or if the list is none (nothing
 * changes then, and a warning says where), ENOMEM (nothing changes), ENXIO
 * without the built-in provider.
 */
extern int clinet_set_addrs(const char *list);

typedef enum clinet_attach_state {
	CLINET_NEVER_ATTACHED,	/* nobody has asked for it */
	CLINET_ATTACHED,
	CLINET_REFUSED,		/* nothing of ip was touched */
	CLINET_PARTIAL,		/* lost a race: hooks set, all accepted */
	CLINET_DETACHED		/* hooks set, all accepted */
} clinet_attach_state_t;

/* As in the kstat clinet:0:attach; counters are since the module was loaded. */
typedef struct clinet_state {
	uint32_t	cst_state;	/* clinet_attach_state_t */
	uint32_t	cst_mode;	/* 0 off, 1 observe, 2 enforce */
	uint64_t	cst_hooks;	/* of ip's variables, those set */
	uint64_t	cst_audits;	/* completed ones */
	uint64_t	cst_added;	/* entries, by audits */
	uint64_t	cst_removed;	/* entries, by audits */
	uint64_t	cst_conflicts;	/* another's tuple, or no room */
	const char	*cst_reason;	/* why not, or what went; static */
} clinet_state_t;

/*
 * Copies min(size, sizeof (clinet_state_t)) bytes to *cst; size is that of the
 * caller's structure.  EINVAL for a NULL cst.  Any context.
 */
extern int clinet_state(clinet_state_t *cst, size_t size);

/*
 * What the probes of clinet (sdt:clinet::ask and so on) have as their first
 * argument.  Addresses are in IPv6 form, IPv4 as ::ffff:a.b.c.d; ports are in
 * network byte order.  Arguments of each probe:
 *
 *	ask		tuple, stack, outgoing
 *	accept		tuple, stack, outgoing, reason
 *	refuse		tuple, stack, outgoing, owner, reason, enforced
 *	register	tuple, stack
 *	remove		tuple, stack, reason
 *	age		tuple, stack, seconds
 *	audit-fix	tuple, stack, what, owner
 *	install-conflict protocol, laddr, lport, faddr, fport, owner
 *
 * stack is the id of the IP stack, outgoing 1 or 0, owner a node or 0, reason
 * and what are strings in the kernel, enforced is 0 if the refusal is only
 * counted (clinet_mode 1), seconds how long nobody has asked; laddr and faddr
 * point at sixteen bytes each.  age, audit-fix
 * and those of remove that are not the end of a connection fire with one of
 * clinet's mutexes held.
 */
typedef struct clinet_probe_addr {
	uint64_t	cpa_words[2];	/* the sixteen bytes, in their order */
	uint8_t		cpa_family;	/* it came as AF_INET or AF_INET6 */
} clinet_probe_addr_t;

typedef struct clinet_probe_end {
	clinet_probe_addr_t	cpe_addr;
	in_port_t		cpe_port;
} clinet_probe_end_t;

typedef struct clinet_probe_tuple {
	uint8_t			cpt_protocol;
	clinet_probe_end_t	cpt_local;
	clinet_probe_end_t	cpt_foreign;
} clinet_probe_tuple_t;

#ifdef	__cplusplus
}
#endif

#endif	/* _CLINET_H */
