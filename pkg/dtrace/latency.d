#!/usr/sbin/dtrace -s
/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * How long a decision takes: nanoseconds between question and answer, by
 * answer.  The two probes themselves take a part of it, some hundred
 * nanoseconds.
 *
 *	usage: latency.d
 */

#pragma D option quiet

sdt:clinet::ask
{
	self->asked = timestamp;
}

sdt:clinet::accept
/self->asked/
{
	@took["accepted", stringof((char *)arg3)] =
	    quantize(timestamp - self->asked);
	self->asked = 0;
}

sdt:clinet::refuse
/self->asked/
{
	@took["refused", stringof((char *)arg4)] =
	    quantize(timestamp - self->asked);
	self->asked = 0;
}

dtrace:::END
{
	printa("\n%s: %s (nanoseconds)%@d", @took);
}
