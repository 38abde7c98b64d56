/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * The helper of cl_inet.h as a program of this machine: prints what it
 * stores, in which order, and what it answers when it loses the race for the
 * n-th slot, n being the argument (0: it wins them all).
 */

#include <cl_inet.h>

extern int printf(const char *, ...);
extern int atoi(const char *);

cl_inet_connect2_fn cl_inet_connect2;
cl_inet_endpoint_fn cl_inet_listen;
cl_inet_endpoint_fn cl_inet_unlisten;
cl_inet_endpoint_fn cl_inet_bind;
cl_inet_endpoint_fn cl_inet_unbind;
cl_inet_disconnect_fn cl_inet_disconnect;
const char *cluster_version_supported = "1.1";

const clinet_contract_t clinet_contract = {
	sizeof (clinet_contract_t), "1.1",
	&cl_inet_connect2, &cl_inet_disconnect,
	&cl_inet_listen, &cl_inet_unlisten,
	&cl_inet_bind, &cl_inet_unbind
};

static int lose_at;
static int stores;

static const char *
slot_name(volatile void *slot)
{
	return (slot == (void *)&cl_inet_connect2 ? "connect2" :
	    slot == (void *)&cl_inet_disconnect ? "disconnect" :
	    slot == (void *)&cl_inet_listen ? "listen" :
	    slot == (void *)&cl_inet_unlisten ? "unlisten" :
	    slot == (void *)&cl_inet_bind ? "bind" :
	    slot == (void *)&cl_inet_unbind ? "unbind" : "?");
}

void *
atomic_cas_ptr(volatile void *slot, void *expected, void *func)
{
	void *volatile *word = (void *volatile *)slot;

	printf("%s ", slot_name(slot));
	if (expected != NULL)
		printf("not-from-null ");
	if (++stores == lose_at || *word != expected)
		return ((void *)1);
	*word = func;
	return (expected);
}

static int
connect2(uint8_t protocol, boolean_t is_outgoing, sa_family_t family,
    uint8_t *laddrp, in_port_t lport, uint8_t *faddrp, in_port_t fport)
{
	(void) protocol, (void) is_outgoing, (void) family, (void) laddrp;
	(void) lport, (void) faddrp, (void) fport;
	return (0);
}

static void
disconnect(uint8_t protocol, sa_family_t family, uint8_t *laddrp,
    in_port_t lport, uint8_t *faddrp, in_port_t fport)
{
	(void) protocol, (void) family, (void) laddrp, (void) lport;
	(void) faddrp, (void) fport;
}

static void
endpoint(uint8_t protocol, sa_family_t family, uint8_t *laddrp,
    in_port_t lport)
{
	(void) protocol, (void) family, (void) laddrp, (void) lport;
}

int
main(int argc, char **argv)
{
	static const cl_inet_provider_t all = {
		connect2, disconnect, endpoint, endpoint, endpoint, endpoint
	};
	static const cl_inet_provider_t question_only = {
		connect2, NULL, NULL, NULL, NULL, NULL
	};
	static const cl_inet_provider_t no_question = {
		NULL, disconnect, endpoint, endpoint, endpoint, endpoint
	};
	int n = (argc > 1 ? atoi(argv[1]) : 0);

	if (n == -1) {
		printf("= %d", cl_inet_associate(&question_only, "1.1"));
		return (0);
	}
	if (n <= -11) {
		/* A slot that we want is taken already. */
		switch (n) {
		case -11: cl_inet_disconnect = disconnect; break;
		case -12: cl_inet_unlisten = endpoint; break;
		case -13: cl_inet_listen = endpoint; break;
		case -14: cl_inet_unbind = endpoint; break;
		case -15: cl_inet_bind = endpoint; break;
		default: cl_inet_connect2 = connect2; break;
		}
		printf("= %d", cl_inet_associate(&all, "1.1"));
		return (0);
	}
	if (n == -3) {
		/* Companions that we do not want are taken already. */
		cl_inet_disconnect = disconnect;
		cl_inet_listen = cl_inet_unlisten = endpoint;
		cl_inet_bind = cl_inet_unbind = endpoint;
		printf("= %d", cl_inet_associate(&question_only, "1.1"));
		return (0);
	}
	if (n == -9) {
		printf("= %d", cl_inet_associate(&no_question, "1.1"));
		return (0);
	}
	lose_at = n;
	printf("= %d", cl_inet_associate(&all, "1.1"));
	return (0);
}
