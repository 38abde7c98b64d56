// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where the sections go: writable ones to a data area, all other allocated
//! ones to a text area, both in the order of the file.

use object::elf;

use crate::area::{Draft, Use};
use crate::error::LoadError;
use crate::file::{LE, ModuleFile};

/// The two areas of a module while they are filled, and what is where.
pub(crate) struct Layout {
    pub text: Draft,
    pub data: Draft,
    /// By section number; None for a section that is not loaded.
    sections: Vec<Option<Placed>>,
}

/// A loaded section.
#[derive(Clone, Copy)]
struct Placed {
    usage: Use,
    /// Bytes from the start of its area.
    offset: u64,
    size: u64,
}

/// The length and the alignment of an area, while things are added to it.
struct Extent {
    len: u64,
    align: u64,
}

impl Extent {
    const EMPTY: Self = Self { len: 0, align: 1 };

    /// Adds `size` bytes aligned to `align`; returns their offset.
    fn add(&mut self, size: u64, align: u64, what: impl Fn() -> String) -> Result<u64, LoadError> {
        let align = align.max(1);
        if !align.is_power_of_two() {
            return Err(LoadError::Malformed(format!(
                "the alignment of {} is {align}, not a power of two",
                what()
            )));
        }
        let offset = self.len.checked_next_multiple_of(align);
        let end = offset.and_then(|offset| offset.checked_add(size));
        match (offset, end) {
            (Some(offset), Some(end)) if end.max(align) <= crate::SIZE_LIMIT => {
                self.len = end;
                self.align = self.align.max(align);
                Ok(offset)
            }
            _ => Err(LoadError::TooLarge { what: what() }),
        }
    }
}

impl Layout {
    /// Places and fills the sections of `file`, and leaves room for
    /// `commons`, the size and alignment of each COMMON symbol, behind the
    /// data. Returns the layout and the addresses of the COMMON symbols.
    pub fn new(
        file: &ModuleFile<'_>,
        commons: &[(u64, u64)],
    ) -> Result<(Self, Vec<u64>), LoadError> {
        let (mut text, mut data) = (Extent::EMPTY, Extent::EMPTY);
        let mut sections = vec![None; file.sections.len()];
        for (index, placed) in sections.iter_mut().enumerate().skip(1) {
            *placed = place(file, index, &mut text, &mut data)?;
        }
        let common_offsets: Vec<u64> = commons
            .iter()
            .map(|&(size, align)| data.add(size, align, || "a COMMON symbol".into()))
            .collect::<Result<_, _>>()?;
        let mut layout = Self {
            text: Draft::new(text.len, text.align)?,
            data: Draft::new(data.len, data.align)?,
            sections,
        };
        layout.fill(file)?;
        let start = layout.data.start();
        let addresses = common_offsets.iter().map(|offset| start + offset).collect();
        Ok((layout, addresses))
    }

    /// Address of section `index`; None if it is not loaded.
    pub fn address(&self, index: usize) -> Option<u64> {
        let placed = self.sections.get(index).copied().flatten()?;
        Some(placed.offset + self.area_start(placed.usage))
    }

    /// The memory of section `index`; None if it is not loaded.
    pub fn section(&mut self, index: usize) -> Option<&mut [u8]> {
        let placed = self.sections.get(index).copied().flatten()?;
        let area = match placed.usage {
            Use::Text => self.text.bytes(),
            Use::Data => self.data.bytes(),
        };
        let start = usize::try_from(placed.offset).ok()?;
        let end = usize::try_from(placed.offset + placed.size).ok()?;
        area.get_mut(start..end)
    }

    fn area_start(&self, usage: Use) -> u64 {
        match usage {
            Use::Text => self.text.start(),
            Use::Data => self.data.start(),
        }
    }

    fn fill(&mut self, file: &ModuleFile<'_>) -> Result<(), LoadError> {
        for (index, header) in file.sections.iter().enumerate() {
            if header.sh_type.get(LE) == elf::SHT_NOBITS {
                continue;
            }
            if let Some(memory) = self.section(index) {
                memory.copy_from_slice(file.section_bytes(index)?);
            }
        }
        Ok(())
    }
}

fn place(
    file: &ModuleFile<'_>,
    index: usize,
    text: &mut Extent,
    data: &mut Extent,
) -> Result<Option<Placed>, LoadError> {
    let header = &file.sections[index];
    let flags = header.sh_flags.get(LE);
    if !flags.contains(elf::SHF_ALLOC) {
        return Ok(None);
    }
    let address = header.sh_addr.get(LE);
    if address != 0 {
        return Err(LoadError::SectionAddress {
            section: file.section_name(index),
            address,
        });
    }
    if header.sh_type.get(LE) != elf::SHT_NOBITS {
        file.section_bytes(index)?;
    }
    let (usage, extent) = if flags.contains(elf::SHF_WRITE) {
        (Use::Data, data)
    } else {
        (Use::Text, text)
    };
    let size = header.sh_size.get(LE);
    let offset = extent.add(size, header.sh_addralign.get(LE), || {
        format!("section '{}'", file.section_name(index))
    })?;
    Ok(Some(Placed {
        usage,
        offset,
        size,
    }))
}
