/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * A registry for tests of the bench: every function that the bench calls,
 * as simple as can be, right by default, and wrong in one way where
 * registry_fault says so.  It has the names of clinet and no more.
 */

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/kmem.h>
#include <sys/mutex.h>
#include <clinet.h>

enum registry_fault {
	FAULT_NONE,
	FAULT_ADMITS,		/* a duplicate is not refused */
	FAULT_FORGETS,		/* every thousandth is not registered */
	FAULT_KEEPS,		/* every thousandth disconnect does nothing */
	FAULT_QUERY,		/* every thousandth query answers no */
	FAULT_UNBIND,		/* unbind does nothing */
	FAULT_BIND,		/* bind does nothing */
	FAULT_PURGE,		/* purge does nothing */
	FAULT_UNSHARED,		/* what is not shared is registered */
	FAULT_SEND,		/* every send is asked about */
	FAULT_MEMORY,		/* more memory than there is */
	FAULT_UNCOUNTED,	/* what is not shared is not counted */
	FAULT_LOCKS		/* ... or only with a mutex held */
};

/* Tunables. */
uint32_t registry_fault = FAULT_NONE;
uint32_t clinet_max_tuples = 65536;
uint32_t clinet_prealloc = 0;
uint32_t clinet_node_id = 1;
char *clinet_addrs = NULL;

typedef struct entry {
	uint8_t		e_key[40];
	uint32_t	e_owner;	/* 0: free or dropped */
	uint32_t	e_used;		/* a search goes on behind it */
} entry_t;

typedef int (*connect2_fn)(uint8_t, boolean_t, sa_family_t, uint8_t *,
    in_port_t, uint8_t *, in_port_t);
typedef void (*disconnect_fn)(uint8_t, sa_family_t, uint8_t *, in_port_t,
    uint8_t *, in_port_t);
typedef void (*endpoint_fn)(uint8_t, sa_family_t, uint8_t *, in_port_t);

connect2_fn cl_inet_connect2;
disconnect_fn cl_inet_disconnect;
endpoint_fn cl_inet_bind;
endpoint_fn cl_inet_unbind;

static kmutex_t lock;
static entry_t *entries;
static size_t slots;		/* a power of two */
static clinet_stats_t stats;
static uint32_t calls;

/* Is it time for the thousandth fault? */
static int
faulty(uint32_t fault)
{
	return (registry_fault == fault && ++calls % 1000 == 0);
}

static void
fill(uint8_t *key, uint8_t protocol, const uint8_t *laddrp, in_port_t lport,
    const uint8_t *faddrp, in_port_t fport)
{
	int i;

	for (i = 0; i < 16; i++) {
		key[i] = laddrp[i];
		key[16 + i] = faddrp == NULL ? 0 : faddrp[i];
	}
	key[32] = lport & 0xff;
	key[33] = lport >> 8;
	key[34] = fport & 0xff;
	key[35] = fport >> 8;
	key[36] = protocol;
	key[37] = key[38] = key[39] = 0;
}

static int
same(const uint8_t *a, const uint8_t *b, int from, int to)
{
	int i;

	for (i = from; i < to; i++)
		if (a[i] != b[i])
			return (0);
	return (1);
}

/* The key's entry, or the free one where it belongs. */
static entry_t *
find(const uint8_t *key)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	entry_t *free = NULL;
	size_t at;
	int i;

	for (i = 0; i < 40; i++)
		hash = (hash ^ key[i]) * 0x100000001b3ULL;
	for (at = (hash ^ hash >> 32) & (slots - 1); entries[at].e_used;
	    at = (at + 1) & (slots - 1)) {
		if (entries[at].e_owner == 0) {
			if (free == NULL)
				free = &entries[at];
		} else if (same(entries[at].e_key, key, 0, 40)) {
			return (&entries[at]);
		}
	}
	return (free != NULL ? free : &entries[at]);
}

static void
take(entry_t *e, const uint8_t *key, uint32_t owner)
{
	int i;

	for (i = 0; i < 40; i++)
		e->e_key[i] = key[i];
	e->e_owner = owner;
	e->e_used = 1;
	stats.cs_tuples++;
}

/* Drops what is of the endpoint (if endpoint is not NULL) and of the owner. */
static void
drop(const uint8_t *endpoint, uint32_t owner)
{
	size_t at;

	for (at = 0; at < slots; at++) {
		entry_t *e = &entries[at];

		if (e->e_owner == owner && (endpoint == NULL ||
		    (same(e->e_key, endpoint, 0, 16) &&
		    same(e->e_key, endpoint, 32, 34) &&
		    same(e->e_key, endpoint, 36, 37)))) {
			e->e_owner = 0;
			stats.cs_tuples--;
		}
	}
}

/* The shared addresses of the bench end in 0x10 to 0x17. */
static int
shared(const uint8_t *key)
{
	return (registry_fault == FAULT_UNSHARED || key[15] < 0x80);
}

static void
ignore(void)
{
	uint64_t *count = &stats.cs_tcp_out.cf_not_shared;

	if (registry_fault == FAULT_LOCKS)
		mutex_enter(&lock);
	if (registry_fault != FAULT_UNCOUNTED)
		(void) __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
	if (registry_fault == FAULT_LOCKS)
		mutex_exit(&lock);
}

static int
connect2(uint8_t protocol, boolean_t is_outgoing, sa_family_t family,
    uint8_t *laddrp, in_port_t lport, uint8_t *faddrp, in_port_t fport)
{
	uint8_t key[40];
	entry_t *e;
	int error = 0;

	(void) is_outgoing;
	(void) family;
	fill(key, protocol, laddrp, lport, faddrp, fport);
	if (!shared(key)) {
		ignore();
		return (0);
	}
	mutex_enter(&lock);
	e = find(key);
	if (e->e_owner == clinet_node_id) {
		stats.cs_repeated++;
	} else if (e->e_owner != 0) {
		stats.cs_owned_elsewhere++;
		error = registry_fault == FAULT_ADMITS ? 0 : EADDRINUSE;
	} else if (stats.cs_tuples >= clinet_max_tuples ||
	    faulty(FAULT_FORGETS)) {
		stats.cs_full_admitted++;
	} else {
		take(e, key, clinet_node_id);
		stats.cs_registered++;
	}
	mutex_exit(&lock);
	return (error);
}

static void
disconnect(uint8_t protocol, sa_family_t family, uint8_t *laddrp,
    in_port_t lport, uint8_t *faddrp, in_port_t fport)
{
	uint8_t key[40];
	entry_t *e;

	(void) family;
	fill(key, protocol, laddrp, lport, faddrp, fport);
	mutex_enter(&lock);
	e = find(key);
	if (e->e_owner == clinet_node_id && !faulty(FAULT_KEEPS)) {
		e->e_owner = 0;
		stats.cs_removed++;
		stats.cs_tuples--;
	} else {
		stats.cs_unknown++;
	}
	mutex_exit(&lock);
}

static void
local(uint8_t protocol, const uint8_t *laddrp, in_port_t lport)
{
	uint8_t key[40];

	fill(key, protocol, laddrp, lport, NULL, 0);
	mutex_enter(&lock);
	drop(key, clinet_node_id);
	mutex_exit(&lock);
}

static void
bind(uint8_t protocol, sa_family_t family, uint8_t *laddrp, in_port_t lport)
{
	(void) family;
	if (registry_fault != FAULT_BIND)
		local(protocol, laddrp, lport);
}

static void
unbind(uint8_t protocol, sa_family_t family, uint8_t *laddrp, in_port_t lport)
{
	(void) family;
	if (registry_fault != FAULT_UNBIND)
		local(protocol, laddrp, lport);
}

int
clinet_install(clinet_node_t owner, uint8_t protocol, sa_family_t family,
    const uint8_t *laddrp, in_port_t lport, const uint8_t *faddrp,
    in_port_t fport)
{
	uint8_t key[40];
	entry_t *e;
	int error = 0;

	(void) family;
	fill(key, protocol, laddrp, lport, faddrp, fport);
	mutex_enter(&lock);
	e = find(key);
	if (e->e_owner != 0 && e->e_owner != owner)
		error = EADDRINUSE;
	else if (e->e_owner == 0)
		take(e, key, owner);
	mutex_exit(&lock);
	return (error);
}

int
clinet_purge(clinet_node_t owner)
{
	mutex_enter(&lock);
	if (registry_fault != FAULT_PURGE)
		drop(NULL, owner);
	mutex_exit(&lock);
	return (0);
}

int
clinet_query(uint8_t protocol, sa_family_t family, const uint8_t *laddrp,
    in_port_t lport, const uint8_t *faddrp, in_port_t fport,
    clinet_answer_t *answer, size_t size)
{
	uint8_t key[40];
	uint32_t owner;

	(void) family;
	(void) answer;
	(void) size;
	fill(key, protocol, laddrp, lport, faddrp, fport);
	mutex_enter(&lock);
	owner = find(key)->e_owner;
	mutex_exit(&lock);
	if (faulty(FAULT_QUERY))
		return (EADDRNOTAVAIL);
	return (owner != 0 && owner != clinet_node_id ? EADDRINUSE : 0);
}

uint64_t
clinet_memory(void)
{
	uint64_t bytes = slots * sizeof (entry_t);

	return (registry_fault == FAULT_MEMORY ? bytes * 2 : bytes);
}

int
clinet_stats(clinet_stats_t *cs, size_t size)
{
	const uint8_t *from = (const uint8_t *)&stats;
	uint8_t *to = (uint8_t *)cs;
	size_t i;

	for (i = 0; i < size && i < sizeof (stats); i++)
		to[i] = from[i];
	return (0);
}

int
clinet_udp_send_begin(const clinet_udp_t *cu, clinet_udp_ask_t *ask,
    sa_family_t family, const uint8_t *faddrp, in_port_t fport)
{
	const uint8_t *last = (const uint8_t *)&cu->udp_cl_v6lastdst;

	(void) ask;
	(void) family;
	if (registry_fault != FAULT_SEND && cu->udp_cl_lastdstport == fport &&
	    same(last, faddrp, 0, 16))
		return (0);
	return (CLINET_UDP_ASK);
}

extern int _init(void);

int
_init(void)
{
	size_t at;

	for (slots = 1024; slots < 2 * (size_t)clinet_max_tuples; slots *= 2)
		;
	entries = kmem_alloc(slots * sizeof (entry_t), KM_NOSLEEP);
	if (entries == NULL)
		return (ENOMEM);
	for (at = 0; at < slots; at++)
		entries[at].e_owner = entries[at].e_used = 0;
	mutex_init(&lock, NULL, MUTEX_DEFAULT, NULL);
	cl_inet_disconnect = disconnect;
	cl_inet_unbind = unbind;
	cl_inet_bind = bind;
	cl_inet_connect2 = connect2;
	return (0);
}
