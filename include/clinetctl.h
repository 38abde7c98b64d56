/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * clinetctl.h: the device /dev/clinet, by which programs see and steer the
 * module clinet.
 *
 * Each ioctl takes the address of one structure, which begins with a
 * clinetctl_head_t: the version of this interface that the caller was
 * compiled for, and the size of the structure.  Structures are the same for
 * programs of 32 and of 64 bits: integers have fixed widths, pointers of the
 * caller are 64 bits wide, each member of 64 bits lies at a multiple of eight
 * and so does the end of each structure.
 *
 * Addresses have sixteen bytes, IPv4 as ::ffff:a.b.c.d.  Ports of a
 * clinetctl_tuple_t and of a clinet_entry_t are in network byte order; first
 * and last ports of a range, in filters and grants, are in host byte order.
 * Times are nanoseconds of the module's clock: gethrtime(9F), and besides by
 * how much the wall clock jumped since the module was loaded.
 *
 * Errors of all commands: EFAULT (an address of the caller), EINVAL (a wrong
 * size, a value that is none, a count over the limit, a reserved member that
 * is not 0), ENOTSUP (a version other than the current and the previous one),
 * ENOTTY (no such command), EPERM (a privilege is missing, or a change is asked
 * for in another zone than the global one).  After an error nothing was
 * changed, unless a structure ceased to be writable during the call.
 */

#ifndef	_CLINETCTL_H
#define	_CLINETCTL_H

#include <sys/types.h>

#ifdef	__cplusplus
extern "C" {
#endif

#define	CLINETCTL_VERSION		1
/* The oldest that is accepted besides. */
#define	CLINETCTL_VERSION_PREVIOUS	1

#define	CLINETCTL_DEVICE	"/dev/clinet"
#define	CLINETCTL_(n)	(('c' << 24) | ('l' << 16) | ('n' << 8) | (n))

/* For anybody. */
#define	CLINETCTL_GET_VERSION	CLINETCTL_(1)	/* clinetctl_version_t */
#define	CLINETCTL_GET_STATE	CLINETCTL_(2)	/* clinetctl_state_t */
#define	CLINETCTL_GET_STATS	CLINETCTL_(3)	/* clinetctl_stats_t */
#define	CLINETCTL_GET_CLOCK	CLINETCTL_(4)	/* clinetctl_clock_t */

/* With PRIV_NET_OBSERVABILITY. */
#define	CLINETCTL_LIST		CLINETCTL_(16)	/* clinetctl_list_t */
#define	CLINETCTL_QUERY		CLINETCTL_(17)	/* clinetctl_query_t */
#define	CLINETCTL_GET_GRANTS	CLINETCTL_(18)	/* clinetctl_grants_t */
#define	CLINETCTL_GET_ADDRS	CLINETCTL_(19)	/* clinetctl_text_t */
#define	CLINETCTL_EVENTS	CLINETCTL_(20)	/* clinetctl_events_t */

/* With PRIV_SYS_IP_CONFIG, in the global zone. */
#define	CLINETCTL_SET		CLINETCTL_(32)	/* clinetctl_property_t */
#define	CLINETCTL_SET_ADDRS	CLINETCTL_(33)	/* clinetctl_text_t */
#define	CLINETCTL_ATTACH	CLINETCTL_(34)	/* clinetctl_action_t */
#define	CLINETCTL_DETACH	CLINETCTL_(35)	/* clinetctl_action_t */
#define	CLINETCTL_AUDIT		CLINETCTL_(36)	/* clinetctl_action_t */
#define	CLINETCTL_SWEEP		CLINETCTL_(37)	/* clinetctl_action_t */
#define	CLINETCTL_INSTALL	CLINETCTL_(38)	/* clinetctl_tuples_t */
#define	CLINETCTL_WITHDRAW	CLINETCTL_(39)	/* clinetctl_tuples_t */
#define	CLINETCTL_PURGE		CLINETCTL_(40)	/* clinetctl_owner_t */
#define	CLINETCTL_RESYNC_BEGIN	CLINETCTL_(41)	/* clinetctl_owner_t */
#define	CLINETCTL_RESYNC_END	CLINETCTL_(42)	/* clinetctl_owner_t */
#define	CLINETCTL_DELETE	CLINETCTL_(43)	/* clinetctl_delete_t */
#define	CLINETCTL_FLUSH		CLINETCTL_(44)	/* clinetctl_flush_t */

/*
 * The same, and the open file has to have the control role: CLINETCTL_CONTROL
 * takes it (EBUSY while another open file has it), CLINETCTL_RELEASE or closing
 * gives it back.  Without it: EACCES.
 */
#define	CLINETCTL_CONTROL	CLINETCTL_(48)	/* clinetctl_action_t */
#define	CLINETCTL_RELEASE	CLINETCTL_(49)	/* clinetctl_action_t */
#define	CLINETCTL_SET_GRANTS	CLINETCTL_(50)	/* clinetctl_grants_t */
#define	CLINETCTL_SET_DEADLINE	CLINETCTL_(51)	/* clinetctl_deadline_t */
#define	CLINETCTL_FENCE		CLINETCTL_(52)	/* clinetctl_unfence_t */
#define	CLINETCTL_UNFENCE	CLINETCTL_(53)	/* clinetctl_unfence_t */

typedef struct clinetctl_head {
	uint32_t	ch_version;	/* CLINETCTL_VERSION of the caller */
	uint32_t	ch_size;	/* of the whole structure */
} clinetctl_head_t;

/*
 * CLINETCTL_GET_VERSION takes a head of any version, so that who is refused
 * elsewhere can say what is there.
 */
typedef struct clinetctl_version {
	clinetctl_head_t cv_head;
	uint32_t	cv_current;	/* of the driver */
	uint32_t	cv_previous;
	char		cv_module[32];	/* version of the module clinet */
	char		cv_contract[8];	/* version of the contract, "1.1" */
} clinetctl_version_t;

/* Indexes of what there is for each protocol. */
#define	CLINETCTL_TCP		0
#define	CLINETCTL_UDP		1

/* A deadline that never comes: static grants. */
#define	CLINETCTL_NO_DEADLINE	UINT64_MAX

/* What cst_provider says. */
#define	CLINETCTL_NO_PROVIDER		0
#define	CLINETCTL_BUILT_IN_PROVIDER	1
#define	CLINETCTL_FOREIGN_PROVIDER	2

/* Where the fence is. */
#define	CLINETCTL_UNFENCED	0	/* the addresses are not touched */
#define	CLINETCTL_FENCING	1	/* they are being taken away */
#define	CLINETCTL_FENCED	2	/* they are away */
#define	CLINETCTL_FENCE_MISSED	3	/* not away in time, tried again */
#define	CLINETCTL_UNFENCING	4	/* they are being brought back */

typedef struct clinetctl_state {
	clinetctl_head_t cst_head;
	uint32_t	cst_attach;	/* clinet_attach_state_t */
	uint32_t	cst_mode;	/* 0 off, 1 observe, 2 enforce */
	uint32_t	cst_node;	/* this node's number */
	uint32_t	cst_provider;
	uint64_t	cst_hooks;	/* of ip's variables, those set */
	uint64_t	cst_audits;	/* completed ones */
	uint64_t	cst_tuples;
	uint64_t	cst_capacity;
	uint64_t	cst_udp_tuples;
	uint64_t	cst_endpoints;
	uint64_t	cst_addresses;	/* local ones with an entry */
	uint64_t	cst_nodes;	/* other nodes that own something */
	uint64_t	cst_memory;	/* bytes */
	/* The properties: see clinetctl_property_t. */
	uint32_t	cst_full;
	uint32_t	cst_incoming;
	uint32_t	cst_explicit;
	uint32_t	cst_other_stack;
	uint32_t	cst_fence_action;
	uint32_t	cst_fence_seconds;
	/* Grants. */
	uint32_t	cst_fence;	/* where the fence is */
	uint32_t	cst_lapsed;	/* 1: nothing granted is registered */
	uint64_t	cst_now;
	uint64_t	cst_deadline;
	uint64_t	cst_epoch;
	uint64_t	cst_sequence;
	uint16_t	cst_first[2];	/* the port space; last 0: none */
	uint16_t	cst_last[2];
	uint32_t	cst_granted[2];	/* ports, those outside it included */
	char		cst_reason[128]; /* why not attached; or empty */
} clinetctl_state_t;

/*
 * Counters and gauges under the names that the kstats have.  With room for
 * none, cs_total says how many there are.
 */
typedef struct clinetctl_stat {
	char		cs_name[40];
	uint64_t	cs_value;
} clinetctl_stat_t;

#define	CLINETCTL_MOST_STATS	1024

typedef struct clinetctl_stats {
	clinetctl_head_t cs_head;
	uint64_t	cs_stats;	/* clinetctl_stat_t * */
	uint32_t	cs_count;	/* room for so many; then: filled */
	uint32_t	cs_total;	/* so many there are */
} clinetctl_stats_t;

typedef struct clinetctl_clock {
	clinetctl_head_t cc_head;
	uint64_t	cc_now;
} clinetctl_clock_t;

typedef struct clinetctl_tuple {
	uint8_t		ct_laddr[16];
	uint8_t		ct_faddr[16];
	uint16_t	ct_lport;	/* network byte order */
	uint16_t	ct_fport;
	uint8_t		ct_protocol;	/* 6 or 17 */
	uint8_t		ct_pad[3];
} clinetctl_tuple_t;

/* Which members of a filter count; all that do have to fit. */
#define	CLINETCTL_BY_PROTOCOL	0x001
#define	CLINETCTL_BY_LADDR	0x002
#define	CLINETCTL_BY_FADDR	0x004
#define	CLINETCTL_BY_LPORT	0x008
#define	CLINETCTL_BY_FPORT	0x010
#define	CLINETCTL_BY_OWNER	0x020
#define	CLINETCTL_BY_STACK	0x040
#define	CLINETCTL_BY_AGE	0x080
#define	CLINETCTL_BY_OUTGOING	0x100
#define	CLINETCTL_BY_ALL	0x1ff

typedef struct clinetctl_filter {
	uint32_t	cf_by;
	uint8_t		cf_protocol;
	uint8_t		cf_outgoing;	/* 0 or 1 */
	uint8_t		cf_lprefix;	/* bits of the addresses, 0 to 128 */
	uint8_t		cf_fprefix;
	uint8_t		cf_laddr[16];
	uint8_t		cf_faddr[16];
	uint16_t	cf_lport[2];	/* first and last, host byte order */
	uint16_t	cf_fport[2];
	uint32_t	cf_owner;
	uint32_t	cf_stack;
	uint32_t	cf_age[2];	/* seconds, least and most */
} clinetctl_filter_t;

#define	CLINETCTL_MOST_ENTRIES	65536

/*
 * Lists entries that fit the filter.  A cursor starts as zeros.  The answer
 * may have no entry although there are more: an ioctl looks at a bounded
 * number of them.
 */
typedef struct clinetctl_list {
	clinetctl_head_t cl_head;
	clinetctl_filter_t cl_filter;
	uint32_t	cl_cursor[2];	/* clinet_cursor_t */
	uint64_t	cl_entries;	/* clinet_entry_t * */
	uint32_t	cl_count;	/* room, 64 at least; then: filled */
	uint32_t	cl_entry_size;	/* sizeof (clinet_entry_t) */
	uint32_t	cl_done;	/* 1: those were the last */
	uint32_t	cl_pad;
} clinetctl_list_t;

/* What a question about this 5-tuple would be answered. */
typedef struct clinetctl_query {
	clinetctl_head_t cq_head;
	clinetctl_tuple_t cq_tuple;
	uint32_t	cq_incoming;	/* 1: as an incoming TCP connection */
	int32_t		cq_error;	/* 0 or an errno of illumos */
	uint32_t	cq_reason;	/* CLINET_FREE and so on */
	uint32_t	cq_owner;
	uint32_t	cq_references;
	uint32_t	cq_granted;	/* 1: the local port is granted */
} clinetctl_query_t;

/* The bytes of one bitmap: bit p % 8 of byte p / 8 is port p. */
#define	CLINETCTL_BITMAP	8192

/*
 * The whole state of what is granted.  A granted port outside the port space
 * is one that was reserved for this node.  cg_first 0 and cg_last 0 is no port
 * space for that protocol; 0 is a port of no space.  CLINETCTL_SET_GRANTS:
 * ESTALE if cg_sequence is not greater than the present one; the epoch is the
 * caller's and only compared for equality, by CLINETCTL_SET_DEADLINE and
 * CLINETCTL_UNFENCE.  cg_now and cg_fence are filled by both.
 */
typedef struct clinetctl_grants {
	clinetctl_head_t cg_head;
	uint64_t	cg_epoch;
	uint64_t	cg_sequence;
	uint64_t	cg_deadline;
	uint64_t	cg_now;
	uint16_t	cg_first[2];	/* CLINETCTL_TCP, CLINETCTL_UDP */
	uint16_t	cg_last[2];
	uint32_t	cg_fence;
	uint32_t	cg_lapsed;
	uint64_t	cg_bitmap[2];	/* CLINETCTL_BITMAP bytes each */
} clinetctl_grants_t;

/* ESTALE: another epoch, or cd_sequence is not greater. */
typedef struct clinetctl_deadline {
	clinetctl_head_t cd_head;
	uint64_t	cd_epoch;
	uint64_t	cd_sequence;
	uint64_t	cd_deadline;
	uint64_t	cd_now;		/* filled */
} clinetctl_deadline_t;

/*
 * CLINETCTL_FENCE lapses the deadline and takes the shared addresses away now;
 * CLINETCTL_UNFENCE brings them back.  Both wait until that is done.  Without
 * CLINETCTL_RECORDS_KEPT, what was granted may belong to another node by now:
 * the module then ends the TCP connections of the shared addresses first, and
 * the caller has made sure that no UDP socket is bound to a lost port.  ESTALE
 * as for the deadline; EAGAIN if the deadline has passed; ETIME if it cannot be
 * done, or was not in time (the module goes on with a fence).
 */
#define	CLINETCTL_RECORDS_KEPT	0x1

typedef struct clinetctl_unfence {
	clinetctl_head_t cu_head;
	uint64_t	cu_epoch;
	uint64_t	cu_sequence;
	uint32_t	cu_flags;
	uint32_t	cu_pad;
} clinetctl_unfence_t;

/* A list as in "192.0.2.10,2001:db8::10". */
#define	CLINETCTL_MOST_TEXT	16384

typedef struct clinetctl_text {
	clinetctl_head_t cx_head;
	uint64_t	cx_text;	/* char *, not ended by a NUL */
	uint32_t	cx_length;	/* room in bytes; then: there are */
	uint32_t	cx_pad;
} clinetctl_text_t;

/*
 * Properties that may be changed while the module runs.  EBUSY where a change
 * would disarm the fence while anything is granted (the modes off and observe,
 * also CLINETCTL_DETACH) unless CLINETCTL_FORCE is set; then the deadline
 * lapses first.
 */
#define	CLINETCTL_MODE		1	/* 0 off, 1 observe, 2 enforce */
#define	CLINETCTL_FULL		2	/* 0 admit, 1 refuse */
#define	CLINETCTL_INCOMING	3	/* 0 trust, 1 reserved */
#define	CLINETCTL_EXPLICIT	4	/* 0 refuse, 1 admit */
#define	CLINETCTL_OTHER_STACK	5	/* 0 refuse, 1 admit */
#define	CLINETCTL_FENCE_ACTION	6	/* 0 down, 1 panic, 2 none */
#define	CLINETCTL_FENCE_SECONDS	7	/* 1 to 60 */

#define	CLINETCTL_FORCE		0x1

typedef struct clinetctl_property {
	clinetctl_head_t cp_head;
	uint32_t	cp_property;
	uint32_t	cp_flags;
	uint64_t	cp_value;
} clinetctl_property_t;

typedef struct clinetctl_action {
	clinetctl_head_t ca_head;
	uint32_t	ca_flags;
	uint32_t	ca_pad;
} clinetctl_action_t;

#define	CLINETCTL_MOST_TUPLES	4096

/*
 * Installs or withdraws tuples in their order until one fails, whose errno is
 * ct_error then; ct_done are before it.
 */
typedef struct clinetctl_tuples {
	clinetctl_head_t ct_head;
	uint64_t	ct_tuples;	/* clinetctl_tuple_t * */
	uint32_t	ct_count;
	uint32_t	ct_owner;
	uint32_t	ct_done;
	int32_t		ct_error;
} clinetctl_tuples_t;

typedef struct clinetctl_owner {
	clinetctl_head_t co_head;
	uint32_t	co_owner;
	uint32_t	co_pad;
} clinetctl_owner_t;

/*
 * Deletes one entry, whoever owns it.  ENOENT: there is none.  EBUSY: it is a
 * TCP connection of this node, and CLINETCTL_FORCE is not set.
 */
typedef struct clinetctl_delete {
	clinetctl_head_t cd_head;
	clinetctl_tuple_t cd_tuple;
	uint32_t	cd_stack;
	uint32_t	cd_flags;
} clinetctl_delete_t;

/* What would go, but nothing goes. */
#define	CLINETCTL_DRY_RUN	0x2

/*
 * Deletes the entries that fit the filter, but a bounded number in one ioctl:
 * to be called with the same cursor until cf_done.  Without CLINETCTL_FORCE the
 * TCP connections of this node stay, and are counted as kept.
 */
typedef struct clinetctl_flush {
	clinetctl_head_t cf_head;
	clinetctl_filter_t cf_filter;
	uint32_t	cf_cursor[2];
	uint32_t	cf_flags;
	uint32_t	cf_done;
	uint64_t	cf_deleted;	/* by this ioctl */
	uint64_t	cf_kept;
} clinetctl_flush_t;

/*
 * Which events read(2) is to deliver from now on, as bits 1 << type; 0 is none.
 * Without an open file that wants some, none are recorded.
 */
#define	CLINETCTL_EVENT_REFUSED		0	/* a question, ev_reason */
					/* or an install without room */
#define	CLINETCTL_EVENT_LAPSED		1	/* the deadline passed */
#define	CLINETCTL_EVENT_FENCED		2	/* ev_value: where it is now */
#define	CLINETCTL_EVENT_CONFLICT	3	/* install of a held 5-tuple */
#define	CLINETCTL_EVENT_GRANTS		4	/* ev_value: sequence */
#define	CLINETCTL_EVENT_MODE		5	/* ev_value: the mode now */
#define	CLINETCTL_EVENT_ATTACH		6	/* ev_value: the state now */
#define	CLINETCTL_EVENT_LOST		7	/* ev_value: how many */
#define	CLINETCTL_EVENTS_ALL		0xff

typedef struct clinetctl_events {
	clinetctl_head_t ce_head;
	uint32_t	ce_mask;
	uint32_t	ce_pad;
} clinetctl_events_t;

/*
 * What read(2) delivers: whole events.  EINVAL if there is not room for one.
 * It waits for one unless the file is open with O_NDELAY or O_NONBLOCK: then
 * EAGAIN.  The lost come as an event of their own, whatever the mask is.
 */
typedef struct clinetctl_event {
	uint64_t	ev_sequence;	/* counts all events */
	uint64_t	ev_time;
	uint32_t	ev_type;
	uint32_t	ev_reason;	/* CLINET_OWNED and so on */
	clinetctl_tuple_t ev_tuple;	/* of a refusal or a conflict, or 0 */
	uint32_t	ev_stack;
	uint32_t	ev_owner;
	uint64_t	ev_value;
	int32_t		ev_error;	/* what the caller was answered */
	uint8_t		ev_outgoing;
	uint8_t		ev_enforced;	/* 0: only counted (mode observe) */
	uint16_t	ev_pad;
} clinetctl_event_t;

#ifdef	__cplusplus
}
#endif

#endif	/* _CLINETCTL_H */
