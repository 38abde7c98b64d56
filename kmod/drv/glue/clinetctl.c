/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0.  If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/*
 * The C half of the driver: what the kernel calls by name, the tables of entry
 * points, and what Rust cannot call because it is variadic.  No decisions.
 */

#include "bindings.h"
#include "abi_check.h"

#ifndef	CLINET_VERSION
#error "CLINET_VERSION comes from Cargo.toml through build.rs"
#endif

/*
 * For krtld: the symbols of clinet are looked up there.  An array, since a
 * pointer would be read as the text.
 */
const char _depends_on[] = "misc/clinet";

static struct cb_ops clinetctl_cb_ops = {
	.cb_open = clinetctl_open,
	.cb_close = clinetctl_close,
	.cb_strategy = nodev,
	.cb_print = nodev,
	.cb_dump = nodev,
	.cb_read = clinetctl_read,
	.cb_write = nodev,
	.cb_ioctl = clinetctl_ioctl,
	.cb_devmap = nodev,
	.cb_mmap = nodev,
	.cb_segmap = nodev,
	.cb_chpoll = clinetctl_chpoll,
	.cb_prop_op = ddi_prop_op,
	.cb_str = NULL,
	.cb_flag = D_NEW | D_MP,
	.cb_rev = CB_REV,
	.cb_aread = nodev,
	.cb_awrite = nodev
};

static struct dev_ops clinetctl_dev_ops = {
	.devo_rev = DEVO_REV,
	.devo_refcnt = 0,
	.devo_getinfo = clinetctl_getinfo,
	.devo_identify = nulldev,
	.devo_probe = nulldev,
	.devo_attach = clinetctl_attach,
	.devo_detach = clinetctl_detach,
	.devo_reset = nodev,
	.devo_cb_ops = &clinetctl_cb_ops,
	.devo_bus_ops = NULL,
	.devo_power = NULL,
	.devo_quiesce = ddi_quiesce_not_needed
};

static struct modldrv modldrv = {
	&mod_driverops,
	"clinet control device " CLINET_VERSION,
	&clinetctl_dev_ops
};

static struct modlinkage modlinkage = {
	MODREV_1,
	{ &modldrv, NULL }
};

int
_init(void)
{
	int error;

	clinetctl_init();
	if ((error = mod_install(&modlinkage)) != 0) {
		clinetctl_fini();
		clinet_log(CE_WARN,
		    "clinetctl: not loaded: mod_install() failed");
	}
	return (error);
}

int
_fini(void)
{
	int error;

	/* EBUSY while the device is attached: see clinetctl_detach(). */
	if ((error = mod_remove(&modlinkage)) != 0)
		return (error);
	clinetctl_fini();
	return (0);
}

int
_info(struct modinfo *modinfop)
{
	return (mod_info(&modlinkage, modinfop));
}

void
clinet_log(int level, const char *message)
{
	cmn_err(level, "%s", message);
}
