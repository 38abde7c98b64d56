/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* A provider for version 1.1. */

#include "recorder.h"

RECORDER_MODULE("misc/clinet", recorder_associate("1.1"))
