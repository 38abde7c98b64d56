/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * A provider of the time before versions: it stores into cl_inet_connect,
 * unseen.  It must not load.
 */

#include <sys/types.h>
#include <sys/modctl.h>
#include <sys/socket.h>
#include <netinet/in.h>

extern int (*cl_inet_connect)(uint8_t, sa_family_t, uint8_t *, in_port_t,
    uint8_t *, in_port_t);

const char _depends_on[] = "misc/clinet";

static struct modlmisc modlmisc = {
	&mod_miscops, "old provider of the tests"
};

static struct modlinkage modlinkage = {
	MODREV_1, { &modlmisc, NULL }
};

static int
old_connect(uint8_t protocol, sa_family_t family, uint8_t *laddrp,
    in_port_t lport, uint8_t *faddrp, in_port_t fport)
{
	(void) protocol, (void) family, (void) laddrp, (void) lport;
	(void) faddrp, (void) fport;
	return (0);
}

int
_init(void)
{
	cl_inet_connect = old_connect;
	return (mod_install(&modlinkage));
}

int
_fini(void)
{
	return (mod_remove(&modlinkage));
}

int
_info(struct modinfo *modinfop)
{
	return (mod_info(&modlinkage, modinfop));
}
