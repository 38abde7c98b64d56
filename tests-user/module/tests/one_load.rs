// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C10: a slot is read once per call. Stock illumos reads it twice, and a
//! slot that changes in between is called unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clinet_module_tests::{INET, Loaded, PEER4, SHARED4, SLOTS, TCP, module_file, read};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpAccess};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolKind};

/// A function of the module, decoded.
struct Function {
    name: String,
    code: Vec<Instruction>,
    /// Instructions that read a slot, by their address.
    reads: BTreeMap<u64, String>,
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
            let mut reads = BTreeMap::new();
            for (offset, relocation) in text.relocations() {
                let at = code.iter().find(|instruction| {
                    (instruction.ip()..instruction.next_ip()).contains(&offset)
                });
                let Some(instruction) = at.filter(|instruction| reads_memory(instruction)) else {
                    continue;
                };
                if let Some(slot) = slot_of(&file, &relocation, instruction, offset) {
                    reads.insert(instruction.ip(), slot);
                }
            }
            let name = symbol.name().expect("a name").to_owned();
            Function { name, code, reads }
        })
        .collect()
}

impl Function {
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

    /// A slot that some path through the function reads twice.
    fn read_twice(&self) -> Option<&str> {
        (0..self.code.len()).find_map(|start| {
            let slot = self.reads.get(&self.code[start].ip())?;
            let mut seen = BTreeSet::new();
            let mut open = self.successors(start);
            while let Some(index) = open.pop() {
                if self.reads.get(&self.code[index].ip()) == Some(slot) {
                    return Some(slot.as_str());
                }
                if seen.insert(index) {
                    open.extend(self.successors(index));
                }
            }
            None
        })
    }
}

/// The slot that a relocated field of an instruction refers to.
fn slot_of(
    file: &object::File<'_>,
    relocation: &object::Relocation,
    instruction: &Instruction,
    offset: u64,
) -> Option<String> {
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
    let mut slots = SLOTS.iter().filter_map(|name| file.symbol_by_name(name));
    let slot = slots
        .find(|slot| slot.section_index() == symbol.section_index() && slot.address() == address)?;
    Some(slot.name().ok()?.to_owned())
}

fn reads_memory(instruction: &Instruction) -> bool {
    let mut factory = iced_x86::InstructionInfoFactory::new();
    let info = factory.info(instruction);
    info.used_memory().iter().any(|memory| {
        matches!(
            memory.access(),
            OpAccess::Read | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    })
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
    for function in &functions {
        assert_eq!(function.read_twice(), None, "{}", function.name);
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
        std::ptr::with_exposed_provenance::<()>(loaded.module.address("clinet_connect2") as usize);
    // SAFETY: the function of include/clinet.h.
    let connect2 = unsafe { std::mem::transmute::<*const (), Connect2>(address) };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
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
        stop.store(true, Ordering::Relaxed);
    });
    let asked = loaded.stat("tcp_out_asked");
    assert_eq!(asked + loaded.stat("no_provider"), 1_000_000);
}
