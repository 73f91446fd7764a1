//! Slots: which of the 16 384 parts of a cluster a key belongs to.

/// How many slots a cluster has.
pub(crate) const SLOTS: usize = 16_384;

/// CRC-16/XMODEM by table, as the cluster specification of Redis (appendix A) has it.
const TABLE: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the index is below 256")]
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) ^ u16::from(*byte))])
}

/// Returns the slot of a key: of what stands between the first `{` and the next
/// `}`, if that is anything, else of the whole key.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let check = |key: &str, slot: u16| assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        check("foo", 12182);
        check("{user1000}.following", slot_of(b"user1000"));
        check("foo{}{bar}", crc16(b"foo{}{bar}") % 16_384);
        check("foo{{bar}}zap", slot_of(b"{bar"));
        check("foo{bar}{zap}", slot_of(b"bar"));
        check("", 0);
    }
}
