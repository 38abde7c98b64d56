/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * A stack that sends datagrams: it calls clinet as udp would, by name.
 */

#include <sys/types.h>
#include <clinet.h>

extern int bench_send(const clinet_udp_t *, clinet_udp_ask_t *, const uint8_t *,
    in_port_t, uint64_t);

/* So many datagrams to one destination; 0 if none of them has to ask. */
int
bench_send(const clinet_udp_t *cu, clinet_udp_ask_t *ask, const uint8_t *faddrp,
    in_port_t fport, uint64_t datagrams)
{
	int answers = 0;

	for (; datagrams != 0; datagrams--) {
		answers |= clinet_udp_send_begin(cu, ask, AF_INET6, faddrp,
		    fport);
	}
	return (answers);
}
