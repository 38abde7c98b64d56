// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Packed captures, unpacked while they are read.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// How much of a packed file is read at once, in bytes.
const CHUNK: usize = 128 << 10;

/// The memory that an xz file may ask for, in KiB: 1 GiB. The presets of xz
/// take up to 64 MiB.
const XZ_MEMORY: u32 = 1 << 20;

/// The file's contents, whatever it is packed by. Its first bytes tell.
pub(super) fn unpacked<'r>(mut reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut first = Vec::new();
    reader.by_ref().take(6).read_to_end(&mut first)?;
    let kind = first.clone();
    let whole = Cursor::new(first).chain(reader);
    let packed = |whole| BufReader::with_capacity(CHUNK, whole);
    Ok(match kind[..] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(packed(whole))),
        [b'B', b'Z', b'h', ..] => Box::new(MultiBzDecoder::new(packed(whole))),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(XzReader::new_mem_limit(packed(whole), true, XZ_MEMORY))
        }
        // A frame, or one to be skipped in front of it, RFC 8878 section 3.1.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(Zstd::new(packed(whole)))
        }
        _ => Box::new(whole),
    })
}

/// All frames of a zstd file; the library decodes one.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            in_frame: false,
        }
    }

    fn next_frame(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.source) {
            Ok(()) => self.in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                io::copy(
                    &mut self.source.by_ref().take(length.into()),
                    &mut io::sink(),
                )?;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.in_frame {
                let len = self.decoder.read(buffer)?;
                if len > 0 {
                    return Ok(len);
                }
                self.in_frame = !self.decoder.is_finished();
            }
            if self.in_frame {
                let some = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.source, some)
                    .map_err(io::Error::other)?;
            } else if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            } else {
                self.next_frame()?;
            }
        }
    }
}
