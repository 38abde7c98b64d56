/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* What bindgen reads; it does not evaluate macros that use other ones. */

#include <clinet.h>
#include <clinetctl.h>
#include <clinetctl_commands.h>

static const uint64_t NO_DEADLINE = CLINETCTL_NO_DEADLINE;
