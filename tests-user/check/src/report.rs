// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a check has to say: findings and a summary.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! rules {
    ($($rule:ident $name:literal $explanation:literal;)*) => {
        /// A rule that a module file can break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $explanation] $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$rule),*];

            /// The stable name, in kebab case.
            pub fn name(self) -> &'static str {
                match self {
                    $(Rule::$rule => $name,)*
                }
            }

            /// Why there is such a rule and what to do, in one line: the two
            /// are parted by the first colon.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Rule::$rule => $explanation,)*
                }
            }

            /// What to do.
            pub fn remedy(self) -> &'static str {
                let explanation = self.explanation();
                explanation.split_once(": ").map_or("", |(_, remedy)| remedy)
            }
        }
    };
}

rules! {
    RelocationType "relocation-type"
        "krtld applies only R_X86_64_64, PC32, PLT32, 32S and PC64 correctly: compile for code model kernel, relocation model static.";
    RelocatedBytes "relocated-bytes"
        "krtld adds to the bytes in place, so a relocated field must hold zeros: keep the addend in the RELA entry only.";
    RelocationFormat "relocation-format"
        "krtld reads only SHT_RELA sections that belong to the symbol table: link the file again with ld -r.";
    GotReference "got-reference"
        "krtld makes no global offset table: compile without PIC and with direct access to external data.";
    TlsReference "tls-reference"
        "The kernel has no thread-local storage for modules: use a static variable, or state passed by the caller.";
    SegmentAccess "segment-access"
        "fs is the user's, and of gs, the kernel's, a module reads only its cpu_t and its thread: remove the access, and a stack protector if one is in use.";
    FloatingPoint "floating-point"
        "The floating-point and vector registers in the kernel are the user's: compile with soft-float and without SSE.";
    RedZone "red-zone"
        "An interrupt overwrites what lies below rsp: compile without a red zone.";
    ReachablePanic "reachable-panic"
        "A trap or a Rust panic stops the machine: find the indexing, unwrap or arithmetic that can fail and make it an ordinary result.";
    UndefinedSymbol "undefined-symbol"
        "The module cannot load with a symbol that no kernel provides: name the module that has it as a dependency, or do without.";
    UnknownImport "unknown-import"
        "Only unix, genunix, ip and clinet are listed here: look with lab symbols whether a dependency has it.";
    IpReference "ip-reference"
        "ip has cl_inet_* variables of another type under the same names: reach ip through ddi_modopen and ddi_modsym only.";
    Dependencies "dependencies"
        "krtld reads _depends_on as characters in place: make it an array, with its size, of names separated by spaces and a NUL at its end.";
    ProbeSite "probe-site"
        "krtld overwrites a probe by no-ops as a five-byte call: make it a direct call that something follows in its function.";
    FrameSize "frame-size"
        "A kernel stack is small and shared by the whole call chain: move large objects out of the frame, or allow more with --frame.";
    UnboundedFrame "unbounded-frame"
        "The stack that a function takes must be known: no variable-length arrays, no alloca, no switching of stacks.";
    UnlistedGlobal "unlisted-global"
        "Only what the mapfile lists may be visible: list it there, or make it local at link time.";
    MissingGlobal "missing-global"
        "What the mapfile lists must be there: define it, keep it from section collection, or take it off the list.";
    CommonSymbol "common-symbol"
        "A common symbol has no section, and becomes the kernel's of that name if there is one: compile with -fno-common.";
    SectionGroup "section-group"
        "krtld ignores section groups and keeps every copy: fold them at link time (ld -r --force-group-allocation).";
    WritableExecutable "writable-executable"
        "A section is code or data, not both: split it.";
    SectionAddress "section-address"
        "krtld refuses an allocated section whose address is not 0: link with ld -r and without a script that places sections.";
    MissingSymbolTable "missing-symbol-table"
        "krtld needs the symbol table: do not strip the module.";
    ExtendedSectionNumbers "extended-section-numbers"
        "krtld does not know extended section numbers: merge sections at link time.";
    InitializerSection "initializer-section"
        "krtld never runs initializers or finalizers: call them from _init and _fini.";
    StrayCode "stray-code"
        "Code that no function symbol covers cannot be judged: give it a symbol of type function with its size.";
    InvalidInstruction "invalid-instruction"
        "A function must consist of instructions: move data out of the code.";
    NameLength "name-length"
        "The kernel keeps 31 characters of a module's name, and reads 30 of a dependency's: choose a shorter one.";
    Description "description"
        "mod_info(9F) copies the description, and modinfo shows 31 characters of it: point linkinfo at a short string.";
    EntryPoint "entry-point"
        "The kernel calls _init, _info and _fini by their names: define them.";
    Linkage "linkage"
        "mod_install(9F) takes a struct modlinkage of revision 1 with structures that begin with a mod_ops of the kernel: define both as sys/modctl.h does.";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a finding means for the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A rule is broken: a kernel refuses the module, or is harmed by it.
    Bad,
    /// Worth a look: the file does not tell, or no harm comes of it.
    Note,
}

/// One place that a rule has something to say about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Whether the rule is broken.
    pub severity: Severity,
    /// The section, if there is one to name.
    pub section: Option<String>,
    /// The symbol: the function or object that the place lies in, or the one
    /// that is missing or superfluous.
    pub symbol: Option<String>,
    /// Bytes from the start of the section.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub detail: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Finding {
    /// A finding about the whole file.
    pub(crate) fn of_file(rule: Rule, detail: impl Into<String>) -> Self {
        Finding {
            rule,
            severity: Severity::Bad,
            section: None,
            symbol: None,
            offset: None,
            detail: detail.into(),
            remedy: rule.remedy(),
        }
    }

    /// The same, as something that does not break the rule.
    pub(crate) fn into_note(self) -> Self {
        Finding {
            severity: Severity::Note,
            ..self
        }
    }

    /// A finding about a symbol that lies nowhere.
    pub(crate) fn of_symbol(rule: Rule, symbol: &str, detail: impl Into<String>) -> Self {
        Finding {
            symbol: Some(symbol.to_owned()),
            ..Finding::of_file(rule, detail)
        }
    }
}

/// One line: `rule: section+0x12 (symbol): what is wrong: what to do`, with
/// `note: ` before it if no rule is broken.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Note {
            f.write_str("note: ")?;
        }
        write!(f, "{}: ", self.rule)?;
        match (&self.section, &self.symbol) {
            (Some(section), symbol) => {
                f.write_str(section)?;
                if let Some(offset) = self.offset {
                    write!(f, "+{offset:#x}")?;
                }
                if let Some(symbol) = symbol {
                    write!(f, " ({symbol})")?;
                }
                f.write_str(": ")?;
            }
            (None, Some(symbol)) => write!(f, "{symbol}: ")?,
            (None, None) => {}
        }
        write!(f, "{}: {}", self.detail, self.remedy)
    }
}

/// Bytes that the module takes in kernel memory, by kind of section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Executable sections.
    pub text: u64,
    /// Sections that are neither executable nor writable.
    pub rodata: u64,
    /// Writable sections with contents.
    pub data: u64,
    /// Writable sections without contents.
    pub bss: u64,
}

/// The stack that one function takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The function.
    pub function: String,
    /// Bytes, without the return address.
    pub bytes: u64,
}

/// The deepest chain of direct calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Bytes of stack from the entry of the first function: the frames on the
    /// way and the return addresses between them, that of a last call into the
    /// kernel included, the kernel's own frames not.
    pub bytes: u64,
    /// The functions, the caller first.
    pub path: Vec<String>,
    /// A function of the path also calls through a pointer, which may lead
    /// deeper than `bytes` says.
    pub indirect_calls: bool,
    /// Some function of the module can call itself again; the repetition is
    /// not in `bytes`.
    pub recursion: bool,
}

/// What the module is and takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Name of the module.
    pub module: String,
    /// What modinfo shows as its description.
    pub description: Option<String>,
    /// Modules that it names as dependencies, in order.
    pub dependencies: Vec<String>,
    /// Bytes by kind of section.
    pub sizes: Sizes,
    /// Number of relocations in allocated sections, by type number.
    pub relocations: BTreeMap<u32, usize>,
    /// What it imports, probes included, sorted.
    pub undefined: Vec<String>,
    /// Number of functions.
    pub functions: usize,
    /// The function with the largest frame.
    pub largest_frame: Option<Frame>,
    /// The deepest chain of direct calls.
    pub deepest_chain: Option<Chain>,
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every place that breaks a rule, and every note.
    pub findings: Vec<Finding>,
    /// What the module is and takes.
    pub summary: Summary,
}

impl Report {
    /// Is no rule broken?
    pub fn passed(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The places that break a rule.
    pub fn broken(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.severity == Severity::Bad)
    }
}
