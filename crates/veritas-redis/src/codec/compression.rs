//! Compression: LZ4 blocks, where they help, read within a limit.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

/// A block of LZ4 grows at most this many times when it is read: a byte of length
/// stands for 255 bytes of output.
const LARGEST_GROWTH: usize = 255;

/// Compresses, or returns `None` when that saves less than an eighth: reading it
/// back would cost more than the room is worth.
pub(crate) fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut block = vec![0; get_maximum_output_size(bytes.len())];
    let length = compress_into(bytes, &mut block).ok()?;
    block.truncate(length);
    (length < bytes.len() - bytes.len() / 8).then_some(block)
}

/// Reads a block that becomes exactly `length` bytes; the caller has checked that
/// `length` is within its limit. Nothing is reserved for a length that the block
/// cannot reach.
pub(crate) fn decompressed(block: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > block.len().saturating_mul(LARGEST_GROWTH) {
        return None;
    }
    let mut bytes = vec![0; length];
    (decompress_into(block, &mut bytes).ok()? == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_repeats_is_compressed_and_comes_back() {
        let text = b"the same words again, ".repeat(200);
        let block = compressed(&text).unwrap();
        assert!(block.len() * 4 < text.len());
        assert_eq!(decompressed(&block, text.len()), Some(text));
    }

    #[test]
    fn noise_is_left_as_it_is() {
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..4_096)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        assert_eq!(compressed(&noise), None);
    }

    #[test]
    fn a_bomb_is_refused_before_it_takes_memory() {
        assert_eq!(decompressed(b"\x1f\x00\x01\x00\xff", usize::MAX), None);
        let zeros = vec![0; 1 << 20];
        let block = compressed(&zeros).unwrap();
        assert_eq!(decompressed(&block, zeros.len() - 1), None);
        assert_eq!(decompressed(&block, zeros.len() + 1), None);
        assert_eq!(decompressed(&block, zeros.len()), Some(zeros));
    }

    proptest! {
        #[test]
        fn any_block_is_read_or_refused(block in proptest::collection::vec(any::<u8>(), 0..200), length in 0..5_000_usize) {
            if let Some(bytes) = decompressed(&block, length) {
                prop_assert_eq!(bytes.len(), length);
            }
        }
    }
}
