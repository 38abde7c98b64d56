/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * The public headers, as a program in C99 and in C++ includes them, with and
 * without the kernel's part, and each entry point with the arguments that the
 * documentation promises.
 */

#include <cl_inet.h>
#include <clinet.h>
#include <clinetctl.h>
#ifdef	_KERNEL
#include <clinet_control.h>
#endif

#ifdef	__cplusplus
extern "C" {
#endif

extern int headers_use(clinet_tcp_t *ct, clinet_udp_t *cu, const uint8_t *addr);

#ifdef	__cplusplus
}
#endif

int
headers_use(clinet_tcp_t *ct, clinet_udp_t *cu, const uint8_t *addr)
{
	clinet_udp_ask_t ask;
	clinet_stats_t stats;
	clinet_node_t node = 2;
	int error;

	clinet_udp_bind(cu, AF_INET6, addr, 1);
	error = clinet_udp_send_begin(cu, &ask, AF_INET6, addr, 1);
	if (error == CLINET_UDP_ASK)
		error = clinet_udp_send_ask(&ask, addr, 1);
	clinet_udp_send_end(cu, &ask);
	error += clinet_udp_connect_begin(cu, &ask, AF_INET6, addr, 1);
	error += clinet_udp_connect_ask(&ask, addr, 1);
	clinet_udp_connect_end(cu, &ask);
	clinet_udp_reset(cu);
	clinet_udp_unbind(cu, AF_INET6, addr, 1);

	clinet_tcp_listen(AF_INET, addr, 1);
	error += clinet_tcp_connect(ct, B_TRUE, AF_INET, addr, 1, addr, 2);
	clinet_tcp_disconnect(ct);
	clinet_tcp_unlisten(AF_INET, addr, 1);

	error += clinet_ask(IPPROTO_TCP, B_FALSE, AF_INET, addr, 1,
	    addr, 2);
	clinet_end(IPPROTO_TCP, AF_INET, addr, 1, addr, 2);
	clinet_listen(IPPROTO_TCP, AF_INET, addr, 1);
	clinet_unlisten(IPPROTO_TCP, AF_INET, addr, 1);
	clinet_bind(IPPROTO_UDP, AF_INET, addr, 1);
	clinet_unbind(IPPROTO_UDP, AF_INET, addr, 1);

	error += clinet_install(node, IPPROTO_UDP, AF_INET, addr, 1, addr, 2);
	error += clinet_withdraw(node, IPPROTO_UDP, AF_INET, addr, 1, addr, 2);
	error += clinet_purge(node);
	error += clinet_stats(&stats, sizeof (stats));
#ifdef	_KERNEL
	{
		static const cl_inet_provider_t none = {
			NULL, NULL, NULL, NULL, NULL, NULL
		};

		error += cl_inet_associate(&none, CL_INET_VERSION);
	}
#endif
	return (error);
}
