// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules about probe sites.
//!
//! krtld overwrites the five bytes that end with a relocated probe reference
//! by no-ops, whatever they are.

use iced_x86::Code;
use object::elf;

use crate::elf::{Elf, Relocation};
use crate::instructions::{Function, function_at, is_nop};
use crate::report::{Finding, Rule};

pub(crate) fn check(elf: &Elf<'_>, functions: &[Function<'_>], findings: &mut Vec<Finding>) {
    for relocation in &elf.relocations {
        if !elf.symbols[relocation.symbol].is_probe() {
            continue;
        }
        if let Some(detail) = fault(functions, relocation) {
            let name = &elf.symbols[relocation.symbol].name;
            findings.push(elf.finding(
                Rule::ProbeSite,
                relocation.section,
                relocation.offset,
                format!("the reference to {name} {detail}"),
            ));
        }
    }
}

fn fault(functions: &[Function<'_>], relocation: &Relocation) -> Option<&'static str> {
    let Some(function) = function_at(functions, relocation.section, relocation.offset) else {
        return Some("is not in a function");
    };
    let code = &functions[function].code;
    let after = code.partition_point(|i| i.ip() < relocation.offset);
    let (before, following) = code.split_at(after);
    let is_call = before.last().is_some_and(|instruction| {
        instruction.code() == Code::Call_rel32_64 && instruction.ip() + 1 == relocation.offset
    });
    let relative = matches!(relocation.kind, elf::R_X86_64_PC32 | elf::R_X86_64_PLT32);
    if !is_call || !relative {
        Some("is not the operand of a five-byte call")
    } else if following.iter().all(is_nop) {
        Some("is the last call of its function, with nothing behind it")
    } else {
        None
    }
}
