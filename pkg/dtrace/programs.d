#!/usr/sbin/dtrace -s
/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * Which program asks most: outgoing questions by program and protocol, every
 * ten seconds, the twenty highest.  A program that asks for every datagram is
 * one that sends to another destination each time.
 *
 *	usage: programs.d
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

sdt:clinet::ask
/arg2 == 1/
{
	this->t = (struct clinet_probe_tuple *)arg0;
	@asked[execname, pid, this->t->cpt_protocol == 6 ? "tcp" : "udp"] =
	    count();
}

profile:::tick-10s
{
	trunc(@asked, 20);
	printf("\n%-20Y\n%-16s %8s %-4s %s\n", walltimestamp, "PROGRAM", "PID",
	    "PRO", "QUESTIONS");
	printa("%-16s %8d %-4s %@d\n", @asked);
	trunc(@asked);
}
