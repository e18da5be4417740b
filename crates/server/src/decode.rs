//! Bodies that come compressed: which encodings are understood, and what they become.
//!
//! What comes out is pushed, piece by piece, into a [`Sink`] that may refuse it, so that a small
//! body that would become a huge one ends where the sink says, and not where memory does. A
//! decoder's own window is written only as output comes, so it takes no more than what was let
//! into the sink, and 8 MiB at most: what RFC 9659 lets a sender assume.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use hyper::HeaderMap;
use hyper::header;
use zstd::stream::raw;
use zstd::stream::zio;
use zstd::zstd_safe::DParameter;

use crate::problem::{Kind, Problem};

/// The encodings that are understood, as a header lists them.
pub(crate) const ENCODINGS: &str = "gzip, zstd";
/// The largest window of zstd, as a power of two: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;
/// So many bytes are decoded before something else gets its turn.
pub(crate) const PIECE_BYTES: usize = 4 << 10;

/// Where decoded bytes go.
pub(crate) trait Sink {
    /// Takes some more bytes, or refuses them.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Problem>;
}

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What the header Content-Encoding says.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut all = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = all.next() else {
            return Ok(Self::Identity);
        };
        let name = value.as_bytes().trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let found = if is("identity") {
            Some(Self::Identity)
        } else if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("zstd") {
            Some(Self::Zstd)
        } else {
            None
        };
        found.filter(|_| all.next().is_none()).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            let detail = format!(
                "a body can be encoded by one of {ENCODINGS}, not by {name:?}; send it so, or as \
                 it is"
            );
            Problem::new(Kind::UnsupportedEncoding, detail).with("header", "content-encoding")
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A sink that decoders write to. It keeps why it refused, which an I/O error cannot carry.
struct Gate<S> {
    sink: S,
    refused: Option<Problem>,
}

impl<S: Sink> Write for Gate<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.refused.is_none() {
            match self.sink.take(bytes) {
                Ok(()) => return Ok(bytes.len()),
                Err(problem) => self.refused = Some(problem),
            }
        }
        Err(io::ErrorKind::Other.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Machine<S: Sink> {
    Identity(Gate<S>),
    Gzip(MultiGzDecoder<Gate<S>>),
    Zstd(Box<zio::Writer<Gate<S>, raw::Decoder<'static>>>),
}

/// A body on its way from what was sent to what was meant.
pub(crate) struct Decoder<S: Sink> {
    encoding: Encoding,
    machine: Machine<S>,
}

impl<S: Sink> Decoder<S> {
    pub(crate) fn new(encoding: Encoding, sink: S) -> Result<Self, Problem> {
        let gate = Gate {
            sink,
            refused: None,
        };
        let machine = match encoding {
            Encoding::Identity => Machine::Identity(gate),
            Encoding::Gzip => Machine::Gzip(MultiGzDecoder::new(gate)),
            Encoding::Zstd => {
                let failed = |e: io::Error| Problem::new(Kind::Internal, e.to_string());
                let mut decoder = raw::Decoder::new().map_err(failed)?;
                decoder
                    .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
                    .map_err(failed)?;
                Machine::Zstd(Box::new(zio::Writer::new(gate, decoder)))
            }
        };
        Ok(Self { encoding, machine })
    }

    /// Takes the next bytes of what was sent.
    pub(crate) fn push(&mut self, sent: &[u8]) -> Result<(), Problem> {
        let pushed = match &mut self.machine {
            Machine::Identity(gate) => gate.write_all(sent),
            Machine::Gzip(decoder) => decoder.write_all(sent),
            Machine::Zstd(decoder) => decoder.write_all(sent),
        };
        pushed.map_err(|error| self.why(&error))
    }

    /// The sink, when all that was sent has been pushed.
    pub(crate) fn finish(mut self) -> Result<S, Problem> {
        let ended = match &mut self.machine {
            Machine::Identity(_) => Ok(()),
            Machine::Gzip(decoder) => decoder.try_finish(),
            Machine::Zstd(decoder) => decoder.finish(),
        };
        if let Err(error) = ended {
            return Err(self.why(&error));
        }
        let encoding = self.encoding;
        let gate = match self.machine {
            Machine::Identity(gate) => Ok(gate),
            Machine::Gzip(decoder) => decoder.finish(),
            Machine::Zstd(decoder) => Ok(decoder.into_inner().0),
        };
        gate.map(|gate| gate.sink)
            .map_err(|error| broken(encoding, &error))
    }

    /// Why a push failed: the sink refused, or it is not what it claims to be.
    fn why(&mut self, error: &io::Error) -> Problem {
        let gate = match &mut self.machine {
            Machine::Identity(gate) => gate,
            Machine::Gzip(decoder) => decoder.get_mut(),
            Machine::Zstd(decoder) => decoder.writer_mut(),
        };
        let refused = gate.refused.clone();
        refused.unwrap_or_else(|| broken(self.encoding, error))
    }
}

fn broken(encoding: Encoding, error: &io::Error) -> Problem {
    let detail = format!(
        "the body is not what its Content-Encoding says ({}): {error}; nothing was done",
        encoding.name()
    );
    Problem::new(Kind::BadRequest, detail).with("header", "content-encoding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Limited(Vec<u8>, usize);

    impl Sink for Limited {
        fn take(&mut self, bytes: &[u8]) -> Result<(), Problem> {
            if self.0.len() + bytes.len() > self.1 {
                return Err(Problem::new(Kind::BodyTooLarge, "too much"));
            }
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(encoding: Encoding, sent: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
        let mut decoder = Decoder::new(encoding, Limited(Vec::new(), limit))?;
        // In pieces as they may come.
        for piece in sent.chunks(7) {
            decoder.push(piece)?;
        }
        decoder.finish().map(|sink| sink.0)
    }

    #[test]
    fn what_was_encoded_comes_out_and_several_parts_are_one_body() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        let twice = [text.clone(), text.clone()].concat();
        let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
        for (encoding, one, empty) in [
            (Encoding::Gzip, gzip(&text), gzip(b"")),
            (Encoding::Zstd, zstd(&text), zstd(b"")),
        ] {
            assert_eq!(decode(encoding, &one, 80_000).unwrap(), text);
            let both = [one.clone(), one.clone()].concat();
            assert_eq!(decode(encoding, &both, 160_000).unwrap(), twice);
            assert_eq!(decode(encoding, &empty, 0).unwrap(), b"");
            // One byte less is too little.
            let refused = decode(encoding, &one, 79_999).unwrap_err();
            assert_eq!(refused.kind(), Kind::BodyTooLarge);
        }
        assert_eq!(decode(Encoding::Identity, &text, 80_000).unwrap(), text);
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_refused() {
        let text = b"some text that is long enough to be damaged in the middle".repeat(50);
        for (encoding, whole) in [
            (Encoding::Gzip, gzip(&text)),
            (Encoding::Zstd, zstd::bulk::compress(&text, 3).unwrap()),
        ] {
            for end in 1..whole.len() {
                let found = decode(encoding, &whole[..end], 1 << 20);
                assert!(found.is_err(), "{encoding:?} cut off at {end}");
            }
            for garbage in [&b"{}"[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", &[0; 100]] {
                let found = decode(encoding, garbage, 1 << 20).unwrap_err();
                assert_eq!(found.kind(), Kind::BadRequest, "{garbage:?}");
            }
        }
    }

    /// A frame may ask for a window of 128 MiB and more, for next to nothing.
    #[test]
    fn a_huge_window_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(b"{}").unwrap();
        let huge = encoder.finish().unwrap();
        let found = decode(Encoding::Zstd, &huge, 1 << 20).unwrap_err();
        assert_eq!(found.kind(), Kind::BadRequest);
    }
}
