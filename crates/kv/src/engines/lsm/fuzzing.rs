//! The decoder of rows, for fuzzers.

use super::row;
use crate::domain::Put;

/// Any bytes as a row.
pub(crate) fn row(data: &[u8]) -> bool {
    row::decode(b"key", data).is_ok()
}

/// Rows of every shape.
pub(crate) fn rows() -> Vec<Vec<u8>> {
    let full = Put {
        value: b"value",
        expires_ms: Some(1 << 40),
        media_type: Some("text/plain"),
    };
    let shapes = [
        Put::new(b""),
        Put::new(b"value"),
        full,
        Put {
            expires_ms: None,
            ..full
        },
        Put {
            media_type: None,
            ..full
        },
    ];
    shapes.iter().map(row::encode).collect()
}
