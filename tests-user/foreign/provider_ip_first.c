/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * A provider that names drv/ip before clinet, so that the kernel linker binds
 * cl_inet_connect2 to ip's variable, whose functions take nine arguments.
 */

#include "recorder.h"

RECORDER_MODULE("drv/ip misc/clinet", recorder_associate("1.1"))
