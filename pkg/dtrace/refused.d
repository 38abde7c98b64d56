#!/usr/sbin/dtrace -s
/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * Who is refused and why: one line for each refusal, and a summary at the end.
 * "would be" marks what is only counted because clinet_mode is 1 (observe).
 * The program is the one whose thread put the question; for SYNs that arrive,
 * and now and then for others, that is whoever ran the squeue.
 *
 *	usage: refused.d
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

dtrace:::BEGIN
{
	printf("%-20s %-16s %-3s %-3s %s\n", "TIME", "PROGRAM", "PRO", "DIR",
	    "LOCAL FOREIGN REASON OWNER");
}

sdt:clinet::refuse
{
	this->t = (struct clinet_probe_tuple *)arg0;
	this->protocol = this->t->cpt_protocol == 6 ? "tcp" : "udp";
	this->direction = arg2 == 1 ? "out" : "in";
	this->reason = stringof((char *)arg4);
	printf("%-20Y %-16s %-3s %-3s %s.%d %s.%d %s%s, owner %d, stack %d\n",
	    walltimestamp, execname, this->protocol, this->direction,
	    inet_ntoa6((in6_addr_t *)this->t->cpt_local.cpe_addr.cpa_words),
	    ntohs(this->t->cpt_local.cpe_port),
	    inet_ntoa6((in6_addr_t *)this->t->cpt_foreign.cpe_addr.cpa_words),
	    ntohs(this->t->cpt_foreign.cpe_port),
	    arg5 == 1 ? "" : "would be: ", this->reason, (int)arg3, (int)arg1);
	@refused[execname, this->protocol, this->direction, this->reason] =
	    count();
}

dtrace:::END
{
	printf("\n%-16s %-3s %-3s %-30s %s\n", "PROGRAM", "PRO", "DIR",
	    "REASON", "COUNT");
	printa("%-16s %-3s %-3s %-30s %@d\n", @refused);
}
