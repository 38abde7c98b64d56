/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* A provider with implementations of two versions, of which 1.1 is there. */

#include "recorder.h"

static int
associate_best(void)
{
	if (cl_inet_associate(&recorder, "2.0") == CL_INET_ASSOCIATED) {
		recorder_version = "2.0";
		return (0);
	}
	return (recorder_associate("1.1"));
}

RECORDER_MODULE("misc/clinet", associate_best())
