# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.

# A kernel module that does nothing but load.

	.text
	.globl	_init
	.type	_init, @function
_init:
	push	%rbp
	mov	%rsp, %rbp
	mov	$modlinkage, %rdi
	call	mod_install
	pop	%rbp
	ret
	.size	_init, . - _init

	.p2align 4
	.globl	_info
	.type	_info, @function
_info:
	push	%rbp
	mov	%rsp, %rbp
	mov	%rdi, %rsi
	lea	modlinkage(%rip), %rdi
	call	mod_info
	pop	%rbp
	ret
	.size	_info, . - _info

	.p2align 4, 0xcc
	.globl	_fini
	.type	_fini, @function
_fini:
	mov	$16, %eax
	ret
	.size	_fini, . - _fini
	.p2align 4

	.section .rodata
description:
	.asciz	"a module for tests"

	.data
	.p2align 3
	.type	modlinkage, @object
modlinkage:
	.long	1
	.zero	4
	.quad	modlmisc
	.zero	48
	.size	modlinkage, . - modlinkage
	.type	modlmisc, @object
modlmisc:
	.quad	mod_miscops
	.quad	description
	.size	modlmisc, . - modlmisc

	.bss
	.p2align 3
	.type	counter, @object
counter:
	.zero	8
	.size	counter, . - counter
