#!/usr/sbin/dtrace -s
/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * What audits mend, and what ages: one line for each entry that was added,
 * removed, or found to be another node's, and for each UDP entry that was too
 * old.
 *
 *	usage: audit.d
 */

#pragma D option quiet

struct clinet_probe_addr {
	uint64_t	cpa_words[2];
	uint8_t		cpa_family;
};

struct clinet_probe_end {
	struct clinet_probe_addr	cpe_addr;
	uint16_t			cpe_port;
};

struct clinet_probe_tuple {
	uint8_t				cpt_protocol;
	struct clinet_probe_end		cpt_local;
	struct clinet_probe_end		cpt_foreign;
};

sdt:clinet::audit-fix
{
	this->t = (struct clinet_probe_tuple *)arg0;
	printf("%-20Y %-8s %s.%d %s.%d owner %d, stack %d\n", walltimestamp,
	    stringof((char *)arg2),
	    inet_ntoa6((in6_addr_t *)this->t->cpt_local.cpe_addr.cpa_words),
	    ntohs(this->t->cpt_local.cpe_port),
	    inet_ntoa6((in6_addr_t *)this->t->cpt_foreign.cpe_addr.cpa_words),
	    ntohs(this->t->cpt_foreign.cpe_port), (int)arg3, (int)arg1);
}

sdt:clinet::age
{
	this->t = (struct clinet_probe_tuple *)arg0;
	printf("%-20Y %-8s %s.%d %s.%d after %d s, stack %d\n", walltimestamp,
	    "aged",
	    inet_ntoa6((in6_addr_t *)this->t->cpt_local.cpe_addr.cpa_words),
	    ntohs(this->t->cpt_local.cpe_port),
	    inet_ntoa6((in6_addr_t *)this->t->cpt_foreign.cpe_addr.cpa_words),
	    ntohs(this->t->cpt_foreign.cpe_port), (int)arg2, (int)arg1);
}
