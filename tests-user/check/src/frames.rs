// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The stack of each function: how much it takes, and whether anything below
//! the stack pointer is used.
//!
//! A function is walked along its branches with the distance of rsp, and of
//! every register that holds an address derived from it, from rsp at entry.
//! Where ways meet with different distances, each is followed on its own.

use iced_x86::{
    FlowControl, Instruction, InstructionInfo, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use object::elf;

use crate::Limits;
use crate::elf::{Elf, Home, Relocation};
use crate::instructions::{Function, function_at, is_nop, relocations};
use crate::report::{Finding, Rule};

/// Different distances of rsp at one instruction that are followed; compilers
/// make one, a loop that pushes makes any number.
const MAX_DISTANCES: usize = 16;

/// What one function does to the stack.
pub(crate) struct Walk {
    /// Bytes that it takes at most, without its return address.
    pub frame: u64,
    pub calls: Vec<Call>,
}

/// A call or a jump out of a function.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub target: Target,
    /// Bytes in use when the callee is entered, its return address included.
    pub depth: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Index of a function of the module.
    Function(usize),
    /// The kernel.
    Outside,
    /// Through a pointer.
    Unknown,
}

/// Distances from rsp at entry; addresses below it are negative.
#[derive(Clone, PartialEq, Eq)]
struct State {
    rsp: i64,
    /// By register number; the place of rsp is not used.
    copies: [Option<i64>; 16],
}

impl State {
    fn at_entry() -> Self {
        State {
            rsp: 0,
            copies: [None; 16],
        }
    }

    fn get(&self, register: Register) -> Option<i64> {
        match register {
            Register::RSP => Some(self.rsp),
            _ if register.is_gpr64() => self.copies[register.number()],
            _ => None,
        }
    }

    fn set(&mut self, register: Register, distance: Option<i64>) {
        if register.is_gpr64() && register != Register::RSP {
            self.copies[register.number()] = distance;
        }
    }

    /// Nothing but the return address and a saved frame pointer is on the
    /// stack, so that no index can lead up into local room.
    fn has_no_local_room(&self) -> bool {
        self.rsp == 0 || (self.rsp == -8 && self.get(Register::RBP) == Some(-8))
    }

    /// Forgets what another way to the same place does not know.
    fn meet(&mut self, other: &State) {
        for (mine, other) in self.copies.iter_mut().zip(&other.copies) {
            if mine != other {
                *mine = None;
            }
        }
    }
}

/// Walks one function, which is one of `functions`.
pub(crate) fn walk(
    elf: &Elf<'_>,
    functions: &[Function<'_>],
    function: &Function<'_>,
    limits: &Limits,
    findings: &mut Vec<Finding>,
) -> Walk {
    let mut walker = Walker {
        elf,
        functions,
        function,
        factory: InstructionInfoFactory::new(),
        seen: vec![Vec::new(); function.code.len()],
        pending: Vec::new(),
        indirect_jumps: Vec::new(),
        faults: Vec::new(),
        walk: Walk {
            frame: 0,
            calls: Vec::new(),
        },
    };
    walker.run();
    let mut walk = walker.walk;
    walk.calls.sort();
    walk.calls.dedup();

    let mut faults = walker.faults;
    faults.sort();
    faults.dedup_by_key(|(rule, offset, _)| (*rule, *offset));
    for (rule, offset, detail) in faults {
        findings.push(elf.finding(rule, function.section, offset, detail));
    }
    if walk.frame > limits.frame {
        let detail = format!(
            "its frame takes {} bytes, {} are allowed",
            walk.frame, limits.frame
        );
        findings.push(elf.finding(Rule::FrameSize, function.section, function.start, detail));
    }
    walk
}

struct Walker<'w, 'e> {
    elf: &'w Elf<'w>,
    functions: &'w [Function<'e>],
    function: &'w Function<'e>,
    factory: InstructionInfoFactory,
    /// The states in which each instruction was reached, one per distance.
    seen: Vec<Vec<State>>,
    pending: Vec<(usize, State)>,
    /// The states at jumps through a pointer, as jump tables have them, one
    /// per distance.
    indirect_jumps: Vec<State>,
    faults: Vec<(Rule, u64, String)>,
    walk: Walk,
}

impl<'w> Walker<'w, '_> {
    fn run(&mut self) {
        self.reach(0, State::at_entry());
        self.drain();
        // What no branch leads to is reached through a jump table, or not at
        // all; padding in between is not code.
        for index in 0..self.function.code.len() {
            if !self.seen[index].is_empty() || is_nop(&self.function.code[index]) {
                continue;
            }
            let mut states = self.indirect_jumps.clone();
            if states.is_empty() {
                let before = self.seen[..index].iter().rev().find_map(|s| s.first());
                states.push(before.cloned().unwrap_or_else(State::at_entry));
            }
            for state in states {
                self.reach(index, state);
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some((index, state)) = self.pending.pop() {
            self.step(index, state);
        }
    }

    fn reach(&mut self, index: usize, mut state: State) {
        let Some(seen) = self.seen.get_mut(index) else {
            return;
        };
        if let Some(known) = seen.iter_mut().find(|known| known.rsp == state.rsp) {
            state.meet(known);
            if state == *known {
                return;
            }
            *known = state.clone();
        } else if seen.len() == MAX_DISTANCES {
            let what = "the stack grows with every pass of a loop";
            self.fault(Rule::UnboundedFrame, index, what);
            return;
        } else {
            seen.push(state.clone());
        }
        self.pending.push((index, state));
    }

    fn fault(&mut self, rule: Rule, index: usize, what: &str) {
        let instruction = &self.function.code[index];
        let detail = format!("at {instruction} {what}");
        self.faults.push((rule, instruction.ip(), detail));
    }

    fn step(&mut self, index: usize, state: State) {
        let function = self.function;
        let instruction = &function.code[index];
        let relocated = relocations(self.elf, function.section, instruction);
        let info = self.factory.info(instruction);
        let below = relocated.is_empty() && uses_below(instruction, info, &state);
        let next = advance(instruction, info, &state, !relocated.is_empty());
        if below {
            let what = "memory below the stack pointer is used";
            self.fault(Rule::RedZone, index, what);
        }
        let next = next.unwrap_or_else(|what| {
            self.fault(Rule::UnboundedFrame, index, what);
            state
        });
        self.walk.frame = self.walk.frame.max(depth(&next));
        self.follow(index, instruction, relocated, next);
    }

    /// Goes on where control goes from an instruction.
    fn follow(
        &mut self,
        index: usize,
        instruction: &Instruction,
        relocated: &[Relocation],
        state: State,
    ) {
        match instruction.flow_control() {
            FlowControl::Return | FlowControl::Exception => return,
            FlowControl::IndirectBranch => {
                // At a table, rsp is where the prologue put it; at a call in
                // tail position it is back where it was at entry.
                if state.rsp == 0 {
                    self.note_call(Target::Unknown, &state, 0);
                }
                self.note_indirect_jump(state);
                return;
            }
            FlowControl::IndirectCall => self.note_call(Target::Unknown, &state, 8),
            FlowControl::Call => {
                let target = self.target(instruction, relocated);
                self.note_call(target.unwrap_or(Target::Outside), &state, 8);
            }
            FlowControl::UnconditionalBranch => {
                self.branch(index, instruction, relocated, state);
                return;
            }
            FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => {
                self.branch(index, instruction, relocated, state.clone());
            }
            FlowControl::Next | FlowControl::Interrupt => {}
        }
        self.reach(index + 1, state);
    }

    fn note_indirect_jump(&mut self, state: State) {
        let known = self.indirect_jumps.iter_mut().find(|s| s.rsp == state.rsp);
        if let Some(known) = known {
            known.meet(&state);
        } else if self.indirect_jumps.len() < MAX_DISTANCES {
            self.indirect_jumps.push(state);
        }
    }

    fn branch(
        &mut self,
        index: usize,
        instruction: &Instruction,
        relocated: &[Relocation],
        state: State,
    ) {
        let Some(address) = self.address(instruction, relocated) else {
            self.note_call(Target::Outside, &state, 0);
            return;
        };
        if self.function.contains(address.0, address.1) {
            let code = &self.function.code;
            match code.binary_search_by_key(&address.1, Instruction::ip) {
                Ok(target) => self.reach(target, state),
                Err(_) => {
                    let what = "control goes into the middle of an instruction";
                    self.fault(Rule::InvalidInstruction, index, what);
                }
            }
        } else {
            let target = self.function_at(address);
            self.note_call(target, &state, 0);
        }
    }

    fn note_call(&mut self, target: Target, state: &State, pushed: u64) {
        let depth = depth(state).saturating_add(pushed);
        self.walk.calls.push(Call { target, depth });
    }

    fn target(&self, instruction: &Instruction, relocated: &[Relocation]) -> Option<Target> {
        self.address(instruction, relocated)
            .map(|address| self.function_at(address))
    }

    fn function_at(&self, (section, offset): (usize, u64)) -> Target {
        function_at(self.functions, section, offset).map_or(Target::Outside, Target::Function)
    }

    /// Section and offset where a direct branch leads, unless it leaves the
    /// module.
    fn address(&self, instruction: &Instruction, relocated: &[Relocation]) -> Option<(usize, u64)> {
        let Some(relocation) = relocated.first() else {
            return Some((self.function.section, instruction.near_branch_target()));
        };
        if !matches!(relocation.kind, elf::R_X86_64_PC32 | elf::R_X86_64_PLT32) {
            return None;
        }
        let symbol = &self.elf.symbols[relocation.symbol];
        let Home::Section(section) = symbol.home else {
            return None;
        };
        // The processor counts from the end of the field, krtld from its start.
        let offset = symbol
            .value
            .wrapping_add_signed(relocation.addend)
            .wrapping_add(4);
        Some((section, offset))
    }
}

fn depth(state: &State) -> u64 {
    state.rsp.min(0).unsigned_abs()
}

/// Is a memory operand provably below rsp?
fn uses_below(instruction: &Instruction, info: &InstructionInfo, state: &State) -> bool {
    let accessed = (0..instruction.op_count()).any(|operand| {
        instruction.op_kind(operand) == OpKind::Memory
            && !matches!(
                info.op_access(operand),
                OpAccess::None | OpAccess::NoMemAccess
            )
    });
    let Some(base) = state.get(instruction.memory_base()) else {
        return false;
    };
    let address = base.saturating_add(instruction.memory_displacement64() as i64);
    let indexed = instruction.memory_index() != Register::None;
    accessed && address < state.rsp && (!indexed || state.has_no_local_room())
}

/// The state behind an instruction, or why it is not known.
fn advance(
    instruction: &Instruction,
    info: &InstructionInfo,
    state: &State,
    relocated: bool,
) -> Result<State, &'static str> {
    let mut next = state.clone();
    match instruction.mnemonic() {
        Mnemonic::Leave => {
            let frame = state
                .get(Register::RBP)
                .ok_or("rsp becomes a value that is not known")?;
            next.rsp = frame.saturating_add(8);
            next.set(Register::RBP, None);
            return Ok(next);
        }
        Mnemonic::Enter => {
            let size = i64::from(instruction.stack_pointer_increment());
            next.rsp = state.rsp.saturating_add(size);
            next.set(Register::RBP, Some(state.rsp.saturating_sub(8)));
            return Ok(next);
        }
        _ => {}
    }
    if matches!(
        instruction.flow_control(),
        FlowControl::Call | FlowControl::IndirectCall
    ) {
        for register in CALLER_SAVED {
            next.set(register, None);
        }
        return Ok(next);
    }

    let moved = i64::from(instruction.stack_pointer_increment());
    next.rsp = state.rsp.saturating_add(moved);
    let assigned = match relocated {
        true => None,
        false => assignment(instruction, state),
    };
    for used in info.used_registers().iter().filter(|u| writes(u.access())) {
        let register = used.register().full_register();
        match (register, assigned) {
            (Register::RSP, Some((Register::RSP, distance))) => next.rsp = distance,
            (Register::RSP, _) if moved != 0 && !names_rsp(instruction) => {}
            (Register::RSP, _) => return Err("rsp becomes a value that is not known"),
            (_, Some((target, distance))) if target == register => {
                next.set(register, Some(distance));
            }
            _ => next.set(register, None),
        }
    }
    Ok(next)
}

/// Registers that a function may change, by the System V ABI.
const CALLER_SAVED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

fn writes(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// `pop rsp`, which stores into the register that it moves.
fn names_rsp(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Pop
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().full_register() == Register::RSP
}

/// The register that an instruction sets to a known distance from rsp at
/// entry, and that distance.
fn assignment(instruction: &Instruction, state: &State) -> Option<(Register, i64)> {
    if instruction.op_count() != 2 || instruction.op0_kind() != OpKind::Register {
        return None;
    }
    let target = instruction.op0_register();
    if !target.is_gpr64() {
        return None;
    }
    let immediate = || instruction.try_immediate(1).ok().map(|value| value as i64);
    let distance = match instruction.mnemonic() {
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Register => {
            state.get(instruction.op1_register())?
        }
        Mnemonic::Lea if instruction.memory_index() == Register::None => state
            .get(instruction.memory_base())?
            .saturating_add(instruction.memory_displacement64() as i64),
        Mnemonic::Add => state.get(target)?.saturating_add(immediate()?),
        Mnemonic::Sub => state.get(target)?.saturating_sub(immediate()?),
        // Alignment moves rsp, a multiple of 8, down by at most the rest.
        Mnemonic::And if target == Register::RSP && (-4096..=-8).contains(&immediate()?) => {
            state.rsp.saturating_add(immediate()? + 8)
        }
        _ => return None,
    };
    Some((target, distance))
}
