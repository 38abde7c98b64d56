// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

/*
 * The imports that take a variable number of arguments: each makes a va_list
 * and hands it to its v-form, which is in Rust.
 */

#include <stdarg.h>
#include <stddef.h>

void clinet_kernel_vcmn_err(int level, const char *format, va_list args);
size_t clinet_kernel_vsnprintf(char *buffer, size_t size, const char *format,
    va_list args);

void
clinet_kernel_cmn_err(int level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	clinet_kernel_vcmn_err(level, format, args);
	va_end(args);
}

size_t
clinet_kernel_snprintf(char *buffer, size_t size, const char *format, ...)
{
	va_list args;
	size_t length;

	va_start(args, format);
	length = clinet_kernel_vsnprintf(buffer, size, format, args);
	va_end(args);
	return (length);
}
