// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C10: a slot is read once per call. Stock illumos reads it twice, and a
//! slot that changes in between is called unseen. C1: a slot is written by
//! compare-and-swap only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use clinet_kernel::together;
use clinet_module_tests::{INET, Loaded, PEER4, SHARED4, SLOTS, TCP, built, module_file, read};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpAccess};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind};

/// A function of the module, decoded.
struct Function {
    name: String,
    code: Vec<Instruction>,
    /// Instructions that read a slot, by their address.
    reads: BTreeMap<u64, String>,
    /// Instructions that may write a slot.
    writes: Vec<(Instruction, String)>,
    /// Calls of the module's own functions: address and callee.
    calls: Vec<(u64, u64)>,
}

fn functions(file: &[u8]) -> Vec<Function> {
    let file = object::File::parse(file).expect("an ELF file");
    let text = file.section_by_name(".text").expect("text");
    let bytes = text.data().expect("bytes");
    let symbols = file.symbols();
    symbols
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .map(|symbol| {
            let range = symbol.address()..symbol.address() + symbol.size();
            let code = &bytes[range.start as usize..range.end as usize];
            let code: Vec<Instruction> =
                Decoder::with_ip(64, code, range.start, DecoderOptions::NONE)
                    .iter()
                    .collect();
            let (mut reads, mut writes, mut calls) = (BTreeMap::new(), Vec::new(), Vec::new());
            for (offset, relocation) in text.relocations() {
                let at = code.iter().find(|instruction| {
                    (instruction.ip()..instruction.next_ip()).contains(&offset)
                });
                let Some(instruction) = at else {
                    continue;
                };
                let Some((section, address)) = target(&file, &relocation, instruction, offset)
                else {
                    continue;
                };
                if section == text.index() && instruction.flow_control() == FlowControl::Call {
                    calls.push((instruction.ip(), address));
                }
                let Some(slot) = slot_at(&file, section, address) else {
                    continue;
                };
                // A compare-and-swap calls nothing of what it reads.
                if writes_memory(instruction) {
                    writes.push((*instruction, slot));
                } else if reads_memory(instruction) {
                    reads.insert(instruction.ip(), slot);
                }
            }
            let name = symbol.name().expect("a name").to_owned();
            Function {
                name,
                code,
                reads,
                writes,
                calls,
            }
        })
        .collect()
}

impl Function {
    fn start(&self) -> u64 {
        self.code.first().map_or(u64::MAX, Instruction::ip)
    }

    /// Where control may be after the instruction at `index`.
    fn successors(&self, index: usize) -> Vec<usize> {
        let instruction = &self.code[index];
        let at = |ip| self.code.iter().position(|other| other.ip() == ip);
        let target = at(instruction.near_branch_target());
        let next = Some(index + 1).filter(|next| *next < self.code.len());
        match instruction.flow_control() {
            FlowControl::UnconditionalBranch => target.into_iter().collect(),
            FlowControl::ConditionalBranch => target.into_iter().chain(next).collect(),
            FlowControl::Return => Vec::new(),
            FlowControl::IndirectBranch => panic!("{}: an indirect branch", self.name),
            _ => next.into_iter().collect(),
        }
    }

    /// Where control may ever be after the instruction at `index`.
    fn reachable(&self, index: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut open = self.successors(index);
        while let Some(index) = open.pop() {
            if seen.insert(index) {
                open.extend(self.successors(index));
            }
        }
        seen
    }

    /// The slots that an instruction reads, itself or in what it calls.
    fn slots_read(&self, ip: u64, inside: &BTreeMap<u64, BTreeSet<String>>) -> BTreeSet<String> {
        let callees = self.calls.iter().filter(|(call, _)| *call == ip);
        let called = callees.filter_map(|(_, callee)| inside.get(callee));
        called
            .flatten()
            .chain(self.reads.get(&ip))
            .cloned()
            .collect()
    }

    /// A slot that some path through the function reads twice.
    fn read_twice(&self, inside: &BTreeMap<u64, BTreeSet<String>>) -> Option<String> {
        let read: Vec<BTreeSet<String>> = self
            .code
            .iter()
            .map(|instruction| self.slots_read(instruction.ip(), inside))
            .collect();
        let from = |start: usize| {
            let behind = self.reachable(start).into_iter();
            let mut twice =
                behind.filter_map(|index| read[start].intersection(&read[index]).next());
            twice.next().cloned()
        };
        (0..read.len())
            .filter(|start| !read[*start].is_empty())
            .find_map(from)
    }
}

/// What a relocated field of an instruction refers to: section and address.
fn target(
    file: &object::File<'_>,
    relocation: &object::Relocation,
    instruction: &Instruction,
    offset: u64,
) -> Option<(SectionIndex, u64)> {
    let RelocationTarget::Symbol(index) = relocation.target() else {
        return None;
    };
    let symbol = file.symbol_by_index(index).ok()?;
    let mut addend = relocation.addend();
    if relocation.kind() == object::RelocationKind::Relative
        || relocation.kind() == object::RelocationKind::PltRelative
    {
        addend += (instruction.next_ip() - offset) as i64;
    }
    let address = symbol.address().wrapping_add_signed(addend);
    Some((symbol.section_index()?, address))
}

/// The slot that is there.
fn slot_at(file: &object::File<'_>, section: SectionIndex, address: u64) -> Option<String> {
    let mut slots = SLOTS.iter().filter_map(|name| file.symbol_by_name(name));
    let slot =
        slots.find(|slot| slot.section_index() == Some(section) && slot.address() == address)?;
    Some(slot.name().ok()?.to_owned())
}

fn accesses(instruction: &Instruction, kinds: &[OpAccess]) -> bool {
    let mut factory = iced_x86::InstructionInfoFactory::new();
    let info = factory.info(instruction);
    info.used_memory()
        .iter()
        .any(|memory| kinds.contains(&memory.access()))
}

fn reads_memory(instruction: &Instruction) -> bool {
    let reads = [
        OpAccess::Read,
        OpAccess::ReadWrite,
        OpAccess::ReadCondWrite,
        OpAccess::CondRead,
    ];
    accesses(instruction, &reads)
}

fn writes_memory(instruction: &Instruction) -> bool {
    let writes = [
        OpAccess::Write,
        OpAccess::CondWrite,
        OpAccess::ReadWrite,
        OpAccess::ReadCondWrite,
    ];
    accesses(instruction, &writes)
}

/// The slots that a call of each function may read, by its address.
fn read_inside(functions: &[Function]) -> BTreeMap<u64, BTreeSet<String>> {
    let mut inside: BTreeMap<u64, BTreeSet<String>> = functions
        .iter()
        .map(|function| (function.start(), function.reads.values().cloned().collect()))
        .collect();
    loop {
        let before = inside.clone();
        for function in functions {
            for (_, callee) in &function.calls {
                let read = before.get(callee).into_iter().flatten().cloned();
                inside.entry(function.start()).or_default().extend(read);
            }
        }
        if inside == before {
            return inside;
        }
    }
}

#[test]
fn c10_no_path_reads_a_slot_twice() {
    let functions = functions(&module_file());
    // The question is put by the plain call, by TCP and by UDP.
    let asking = functions.iter().filter(|function| {
        function
            .reads
            .values()
            .any(|slot| slot == "cl_inet_connect2")
    });
    assert!(asking.count() >= 3);
    let inside = read_inside(&functions);
    for function in &functions {
        assert_eq!(function.read_twice(&inside), None, "{}", function.name);
    }
}

/// The module itself stores its built-in provider, and clears nothing.
#[test]
fn c1_a_slot_is_written_by_compare_and_swap_only() {
    let functions = functions(&module_file());
    let mut stored = BTreeSet::new();
    for function in &functions {
        for (instruction, slot) in &function.writes {
            let place = format!("{slot} in {}: {instruction}", function.name);
            assert_eq!(instruction.mnemonic(), Mnemonic::Cmpxchg, "{place}");
            assert!(instruction.has_lock_prefix(), "{place}");
            stored.insert(slot.as_str());
        }
    }
    let expected = [
        "cl_inet_bind",
        "cl_inet_connect2",
        "cl_inet_disconnect",
        "cl_inet_unbind",
    ];
    assert_eq!(stored, BTreeSet::from(expected));
}

/// Whoever stores the question has stored all companions: no path goes from
/// there to another slot.
#[test]
fn c1_the_built_in_provider_stores_the_question_last() {
    let functions = functions(&module_file());
    let mut questions = 0;
    for function in &functions {
        let slot_at = |index: usize| {
            let ip = function.code[index].ip();
            let write = function.writes.iter().find(|(write, _)| write.ip() == ip);
            write.map(|(_, slot)| slot.as_str())
        };
        for start in 0..function.code.len() {
            if slot_at(start) != Some("cl_inet_connect2") {
                continue;
            }
            questions += 1;
            let behind = function.reachable(start);
            assert!(
                behind.iter().all(|index| slot_at(*index).is_none()),
                "{}",
                function.name
            );
            // And all of the others come before it, in the same function.
            assert_eq!(function.writes.len(), 4, "{}", function.name);
        }
    }
    assert_eq!(questions, 1);
}

/// The example in Rust cannot use the helper of the header.
#[test]
fn c1_the_example_in_rust_stores_by_compare_and_swap() {
    let bytes = built("foreign/example_rust");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let text = file.section_by_name(".text").expect("text");
    let slot = file.symbol_by_name("cl_inet_connect2").expect("the slot");
    let slot = RelocationTarget::Symbol(slot.index());
    let code: Vec<Instruction> =
        Decoder::with_ip(64, text.data().expect("bytes"), 0, DecoderOptions::NONE)
            .iter()
            .collect();
    let writes: Vec<&Instruction> = text
        .relocations()
        .filter(|(_, relocation)| relocation.target() == slot)
        .filter_map(|(offset, _)| {
            code.iter()
                .find(|instruction| (instruction.ip()..instruction.next_ip()).contains(&offset))
        })
        .filter(|instruction| writes_memory(instruction))
        .collect();
    assert!(!writes.is_empty());
    for instruction in writes {
        assert_eq!(instruction.mnemonic(), Mnemonic::Cmpxchg, "{instruction}");
        assert!(instruction.has_lock_prefix(), "{instruction}");
    }
}

type Connect2 = extern "C" fn(u8, u32, u16, *const u8, u16, *const u8, u16) -> i32;

/// A slot that changes all the time, to NULL and back, which the contract
/// forbids: whoever reads it twice calls NULL sooner or later.
#[test]
fn c10_a_slot_that_changes_is_never_called_unseen() {
    let (loaded, _recorder) = Loaded::with_recorder();
    let slot = loaded.slot("cl_inet_connect2");
    let function = read(slot);
    let address =
        std::ptr::with_exposed_provenance::<()>(loaded.module.address("clinet_ask") as usize);
    // SAFETY: the function of include/clinet.h.
    let connect2 = unsafe { std::mem::transmute::<*const (), Connect2>(address) };
    together::scope(|threads| {
        threads.spawn(|over| {
            while !over.is_set() {
                slot.store(0, Ordering::SeqCst);
                slot.store(function, Ordering::SeqCst);
            }
        });
        loaded.module.enter(&loaded.context, || {
            for _ in 0..1_000_000 {
                let answer = connect2(TCP, 1, INET, SHARED4.as_ptr(), 1, PEER4.as_ptr(), 2);
                assert_eq!(answer, 0);
            }
        });
    });
    let asked = loaded.stat("tcp_out_asked");
    assert_eq!(asked + loaded.stat("no_provider"), 1_000_000);
}
