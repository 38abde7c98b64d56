/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * ip's own hooks, as its sources declare them, beside the header for stacks:
 * the names are those of the contract, the arguments are not.
 */

#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>

#ifdef	__cplusplus
extern "C" {
#endif

extern int (*cl_inet_connect2)(int32_t, uint8_t, boolean_t, sa_family_t,
    uint8_t *, in_port_t, uint8_t *, in_port_t, void *);
extern void (*cl_inet_listen)(int32_t, uint8_t, sa_family_t, uint8_t *,
    in_port_t, void *);

#ifdef	__cplusplus
}
#endif

#include <clinet.h>
