/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* A provider for a version that does not exist. */

#include "recorder.h"

RECORDER_MODULE("misc/clinet", recorder_associate("2.0"))
