// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Functions as instructions, and what no instruction may do.

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, Instruction, InstructionInfo,
    InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};
use object::elf;

use crate::elf::{Elf, Home, Relocation};
use crate::report::{Finding, Rule};

/// A function with its instructions up to the first that does not decode.
pub(crate) struct Function<'a> {
    pub name: &'a str,
    pub global: bool,
    pub section: usize,
    /// Offset of the first byte in the section.
    pub start: u64,
    /// Offset behind the last byte.
    pub end: u64,
    /// Their addresses are offsets in the section.
    pub code: Vec<Instruction>,
}

impl Function<'_> {
    pub fn contains(&self, section: usize, offset: u64) -> bool {
        self.section == section && (self.start..self.end).contains(&offset)
    }
}

/// The function at a place, in a list sorted as [`functions`] gives it.
pub(crate) fn function_at(
    functions: &[Function<'_>],
    section: usize,
    offset: u64,
) -> Option<usize> {
    let after = functions.partition_point(|f| (f.section, f.start) <= (section, offset));
    let index = after.checked_sub(1)?;
    functions[index].contains(section, offset).then_some(index)
}

/// The relocations of the bytes of one instruction.
pub(crate) fn relocations<'e>(
    elf: &'e Elf<'_>,
    section: usize,
    instruction: &Instruction,
) -> &'e [Relocation] {
    elf.relocations_in(section, instruction.ip(), instruction.next_ip())
}

/// Does it do nothing?
pub(crate) fn is_nop(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Nop
}

/// Every function, sorted by place, without overlaps; several names of one
/// function are one. Finds code that no function symbol covers.
pub(crate) fn functions<'e>(elf: &'e Elf<'_>, findings: &mut Vec<Finding>) -> Vec<Function<'e>> {
    let mut functions: Vec<_> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.kind == elf::STT_FUNC)
        .filter_map(|symbol| match symbol.home {
            Home::Section(section) => Some(Function {
                name: &symbol.name,
                global: !symbol.local,
                section,
                start: symbol.value,
                end: symbol.value.saturating_add(symbol.size),
                code: Vec::new(),
            }),
            _ => None,
        })
        .collect();
    functions.sort_by_key(|f| (f.section, f.start, !f.global));
    functions.dedup_by(|later, first| {
        let same = (later.section, later.start) == (first.section, first.start);
        if same {
            first.end = first.end.max(later.end);
        }
        same
    });
    fit(elf, &mut functions, findings);
    for function in &mut functions {
        decode(elf, function, findings);
    }
    check_gaps(elf, &functions, findings);
    functions
}

/// Makes every function end before the next one and within its section.
fn fit(elf: &Elf<'_>, functions: &mut [Function<'_>], findings: &mut Vec<Finding>) {
    let next_starts: Vec<_> = functions
        .iter()
        .skip(1)
        .map(|next| Some((next.section, next.start)))
        .chain([None])
        .collect();
    for (function, next) in functions.iter_mut().zip(next_starts) {
        let section = &elf.sections[function.section];
        let mut limit = section.data.len() as u64;
        if let Some((next_section, next_start)) = next
            && next_section == function.section
        {
            limit = limit.min(next_start);
        }
        if function.end > limit {
            function.end = limit.max(function.start);
            findings.push(elf.finding(
                Rule::StrayCode,
                function.section,
                function.start,
                "the function reaches into another one or beyond its section",
            ));
        } else if function.end == function.start {
            findings.push(elf.finding(
                Rule::StrayCode,
                function.section,
                function.start,
                "the function has size 0",
            ));
        }
    }
}

fn bytes<'e>(elf: &'e Elf<'_>, section: usize, start: u64, end: u64) -> &'e [u8] {
    usize::try_from(start)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| elf.sections[section].data.get(start..end))
        .unwrap_or(&[])
}

fn decoder(code: &[u8], start: u64) -> Decoder<'_> {
    Decoder::with_ip(64, code, start, DecoderOptions::MPX)
}

fn decode(elf: &Elf<'_>, function: &mut Function<'_>, findings: &mut Vec<Finding>) {
    let code = bytes(elf, function.section, function.start, function.end);
    for instruction in &mut decoder(code, function.start) {
        if instruction.is_invalid() {
            findings.push(elf.finding(
                Rule::InvalidInstruction,
                function.section,
                instruction.ip(),
                "these bytes are no instruction, or one that the end of the function cuts short",
            ));
            return;
        }
        function.code.push(instruction);
    }
}

/// Between functions there is only padding.
fn check_gaps(elf: &Elf<'_>, functions: &[Function<'_>], findings: &mut Vec<Finding>) {
    for (section, contents) in elf.sections.iter().enumerate() {
        if !contents.executable() || !contents.allocated() {
            continue;
        }
        let from = functions.partition_point(|f| f.section < section);
        let to = functions.partition_point(|f| f.section <= section);
        let mut covered = 0;
        for function in &functions[from..to] {
            findings.extend(gap_fault(elf, section, covered, function.start));
            covered = function.end.max(covered);
        }
        findings.extend(gap_fault(elf, section, covered, contents.data.len() as u64));
    }
}

fn gap_fault(elf: &Elf<'_>, section: usize, start: u64, end: u64) -> Option<Finding> {
    let code = bytes(elf, section, start, end);
    let stray = decoder(code, start)
        .into_iter()
        .find(|instruction| !is_nop(instruction) && instruction.mnemonic() != Mnemonic::Int3)?;
    Some(elf.finding(
        Rule::StrayCode,
        section,
        stray.ip(),
        format!("{} bytes of code belong to no function", end - stray.ip()),
    ))
}

/// Judges every instruction by itself.
pub(crate) fn check(elf: &Elf<'_>, functions: &[Function<'_>], findings: &mut Vec<Finding>) {
    let mut factory = InstructionInfoFactory::new();
    let saves_floating_point = elf
        .symbols
        .iter()
        .any(|symbol| symbol.home == Home::Undefined && symbol.name == "kernel_fpu_begin");
    for function in functions {
        for instruction in &function.code {
            let info = factory.info(instruction);
            if let Some((rule, what)) = fault(instruction, info) {
                let detail = format!("instruction {instruction} {what}");
                let finding = elf.finding(rule, function.section, instruction.ip(), detail);
                // Between kernel_fpu_begin and kernel_fpu_end the registers are
                // the module's; which code runs there cannot be told.
                findings.push(if rule == Rule::FloatingPoint && saves_floating_point {
                    finding.into_note()
                } else {
                    finding
                });
            }
        }
    }
}

fn fault(instruction: &Instruction, info: &InstructionInfo) -> Option<(Rule, &'static str)> {
    let mnemonic = instruction.mnemonic();
    if is_trap(mnemonic) {
        return Some((Rule::ReachablePanic, "stops the machine"));
    }
    if is_x87(instruction.code()) || is_state_component(mnemonic) {
        return Some((Rule::FloatingPoint, "uses floating-point state"));
    }
    let mut registers = info
        .used_registers()
        .iter()
        .filter(|used| used.access() != OpAccess::None)
        .map(|used| used.register());
    if registers.clone().any(is_floating_register) {
        return Some((
            Rule::FloatingPoint,
            "uses a floating-point or vector register",
        ));
    }
    let segment = |register| matches!(register, Register::FS | Register::GS);
    if is_segment_base(mnemonic) || (registers.any(segment) && !reads_cpu(instruction, info)) {
        return Some((Rule::SegmentAccess, "uses fs or gs"));
    }
    None
}

fn is_trap(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Ud0 | Ud1 | Ud2 | Int | Int1 | Int3 | Into | Hlt)
}

fn is_floating_register(register: Register) -> bool {
    register.is_vector_register()
        || register.is_mm()
        || register.is_st()
        || register.is_k()
        || register.is_bnd()
        || register.is_tmm()
}

/// Every x87 instruction uses its stack or its control state, and most name
/// neither; its processor features hold nothing else.
fn is_x87(code: Code) -> bool {
    use CpuidFeature::*;
    code.cpuid_features().iter().any(|feature| {
        matches!(
            feature,
            CYRIX_FPU | FPU | FPU287 | FPU287XL_ONLY | FPU387 | FPU387SL_ONLY
        )
    })
}

/// Instructions on control, status or the whole floating-point state, which
/// name no register of it.
fn is_state_component(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Emms | Femms
            | Fxrstor
            | Fxrstor64
            | Fxsave
            | Fxsave64
            | Ldmxcsr
            | Ldtilecfg
            | Stmxcsr
            | Sttilecfg
            | Tilerelease
            | Vldmxcsr
            | Vstmxcsr
            | Vzeroall
            | Vzeroupper
            | Wait
            | Xgetbv
            | Xrstor
            | Xrstor64
            | Xrstors
            | Xrstors64
            | Xsave
            | Xsave64
            | Xsavec
            | Xsavec64
            | Xsaveopt
            | Xsaveopt64
            | Xsaves
            | Xsaves64
            | Xsetbv
    )
}

/// How sys/cpuvar.h and sys/thread.h read the CPU and the thread that runs on
/// it: from cpu_self and cpu_thread, at these offsets of the cpu_t at gs.
fn reads_cpu(instruction: &Instruction, info: &InstructionInfo) -> bool {
    const CPU_SELF: u64 = 0x10;
    const CPU_THREAD: u64 = 0x18;
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.memory_segment() == Register::GS
        && instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None
        && matches!(instruction.memory_displacement64(), CPU_SELF | CPU_THREAD)
        && info.op1_access() == OpAccess::Read
        && instruction.op1_kind() == OpKind::Memory
}

fn is_segment_base(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Rdfsbase | Rdgsbase | Swapgs | Wrfsbase | Wrgsbase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of x87 instructions begin with f, and those of no others.
    #[test]
    fn every_x87_instruction_is_known() {
        let mut number = 0;
        for code in Code::values() {
            let mnemonic = code.mnemonic();
            // Undocumented ones of another maker, which the decoder leaves out.
            let known = !format!("{code:?}").starts_with("Cyrix");
            if format!("{mnemonic:?}").starts_with('F') {
                assert!(is_x87(code) || is_state_component(mnemonic), "{code:?}");
                number += 1;
            } else if known && mnemonic != Mnemonic::Wait {
                assert!(!is_x87(code), "{code:?}");
            }
        }
        assert!(number > 150);
    }
}
